"""Wait until every part of the mesh answers; then, if asked, expose and boot the examples.  Exit 0 when that is so.

`python -m agentmesh.supervisor.opening URL NAME=PROBE=ADDRESS... [--data DIR] [--examples] [--cert PEM --name NAME]`

A process of its own that ends when the mesh is ready: it needs gRPC, and the supervisor stays small without it.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import pathlib
import ssl
import stat
import sys
import time
from collections.abc import Callable, Iterable

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh import _rooms
from agentmesh.client import AsyncClient, CrewPlan, MeshError
from agentmesh.supervisor import handing

READY_WITHIN_S = 60.0
_MOVED_BYTES_S = 5_000_000
"""What a service of a new version moves of its tables in a second, at least: it answers nobody before it is done."""
_RETRY_S = 0.02
_PROBE_TIMEOUT_S = 5.0
ADMIN_LOGIN = "admin"

EXAMPLES = {
    "form-example": ("Form elements", "examples.form_example.app:fast_app"),
    "hymn": ("Hymn Creator", "examples.hymn.app:fast_app"),
    "jkx": ("JKX", "examples.jkx.app:fast_app2"),
    "noop": ("No operation", "examples.noop.app:fast_app"),
    "paid": ("Telegram office", "examples.paid.app:fast_app"),
    "prime": ("Prime gap finder", "examples.prime.app:fast_app"),
    "sumi-test": ("Sumi test", "examples.sumi_test.app:fast_app"),
    "throughput": ("Throughput", "examples.throughput.app:fast_app"),
}
"""Name of each example's expose: what people call it, and where its app is."""

# An agent that nobody registered: the ledger of a mesh on loopback gives each of Preprod's policy the same price.
PAID_META = """\
display: Telegram office
description: Puts a text into Morse code, once it is paid for.
agentIdentifier: 7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f7774656c656772616d206f6666696365
tags:
  - Payment
  - Masumi
"""
METAS = {"paid": {"/": PAID_META}}
"""What is said about flows of examples, by expose and path; the others say it themselves."""


@dataclasses.dataclass(frozen=True, slots=True)
class Door:
    """What the front door shows, where it speaks TLS: it and nothing else is trusted, whoever has signed it."""

    cert: pathlib.Path
    name: str
    """In it; nobody needs to find this machine by it."""

    def context(self) -> ssl.SSLContext:
        """Return what believes only the holder of that certificate.  Raises `OSError`."""
        context = ssl.create_default_context(cafile=str(self.cert))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


async def healthy(probe: str, address: str, door: Door | None = None) -> bool:
    """Ask once whether a part is ready."""
    if probe == "socket":
        return stat.S_ISSOCK(os.stat(address).st_mode)
    if probe == "http":
        return await _http_ok(address, door)
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _http_ok(url: str, door: Door | None) -> bool:
    authority, _, path = url.partition("://")[2].partition("/")
    host, _, port = authority.rpartition(":")
    trust, name = (None, None) if door is None else (door.context(), door.name)
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=trust, server_hostname=name)
    try:
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.readline()
    finally:
        writer.close()
    return b" 200 " in status


async def until_healthy(name: str, probe: str, address: str, door: Door | None = None) -> None:
    """Ask again and again."""
    while True:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                if await healthy(probe, address, door):
                    return
        except (OSError, TimeoutError, grpc.aio.AioRpcError):
            pass  # it is not up yet
        await asyncio.sleep(_RETRY_S)


def patience_s(data_dir: pathlib.Path, names: Iterable[str]) -> float:
    """Return how much longer services may take with large databases, whose tables a new version may have to move.

    One that was ended meanwhile would begin anew at each start, and never come to an end.
    """
    sizes = [0]
    for name in names:
        with contextlib.suppress(OSError):  # it keeps nothing, or elsewhere
            sizes.append((data_dir / f"{name}.db").stat().st_size)
    return max(sizes) / _MOVED_BYTES_S


def _say(text: str) -> None:
    print(text, file=sys.stderr)


async def wait_for_all(
    parts: list[str],
    door: Door | None = None,
    data_dir: pathlib.Path | None = None,
    *,
    say: Callable[[str], None] = _say,
) -> list[str]:
    """Wait for every NAME=PROBE=ADDRESS; return the names of those that did not answer in time.

    `say` hears who is late, while there is hope.
    """
    waits = {}
    for part in parts:
        name, probe, address = part.split("=", 2)
        waits[asyncio.create_task(until_healthy(name, probe, address, door))] = name
    _, late = await asyncio.wait(waits, timeout=READY_WITHIN_S)
    names = sorted(waits[task] for task in late)
    if data_dir is not None and (more_s := patience_s(data_dir, names)) >= 1:
        say(f"not ready yet: {', '.join(names)}; a new version may have to move large tables: {more_s:.0f} s more")
        _, late = await asyncio.wait(late, timeout=more_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return sorted(waits[task] for task in late)


async def define_examples(mesh: AsyncClient) -> None:
    """Add the agent and the crew of the examples, unless they are there.  Raises `MeshError`."""
    agent = yaml.safe_load(_example("atlas.yaml"))
    if agent["slug"] not in {each.slug async for each in mesh.agents.list()}:
        await mesh.agents.create(**agent)
    plan = CrewPlan.parse(_example("marketing.yaml"))
    if plan.name not in {each.display_name async for each in mesh.crews.list()}:
        await mesh.apply(plan)


def _example(name: str) -> str:
    return (_rooms.EXAMPLES / "examples" / "agents" / name).read_text("utf-8")


async def boot_examples(url: str, password: str, door: Door | None = None) -> None:
    """Add the examples that are not there yet, and boot those that have flows.  Raises `MeshError`."""
    ca, tls_name = (None, "") if door is None else (door.cert, door.name)
    async with AsyncClient(url, ca=ca, tls_name=tls_name) as mesh:
        await mesh.login(ADMIN_LOGIN, password)
        await define_examples(mesh)
        there = {expose.name async for expose in mesh.exposes()}
        for name, (display_name, import_path) in EXAMPLES.items():
            if name not in there:
                meta = METAS.get(name)
                await mesh.save_expose(
                    name,
                    f"import_path: {import_path}\n",
                    display_name=display_name,
                    network="Preprod" if meta else "",
                    meta=meta,
                )
        async for step in mesh.boot():
            if step.kind in ("warning", "error"):
                print(f"examples: {step.expose} {step.message}".strip(), file=sys.stderr)


async def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--examples", action="store_true")
    parser.add_argument("--cert", type=pathlib.Path)
    parser.add_argument("--name", default="")
    arguments = parser.parse_args()
    door = None if arguments.cert is None else Door(arguments.cert, arguments.name)
    password = handing.handed().get(handing.ADMIN_PASSWORD) or ADMIN_LOGIN
    started = time.monotonic()
    late = await wait_for_all(arguments.parts, door, arguments.data)
    if late:
        print(f"not ready after {time.monotonic() - started:.0f} s: {', '.join(late)}", file=sys.stderr)
        return 1
    if arguments.examples:
        try:
            await boot_examples(arguments.url, password, door)
        except MeshError as error:
            # The mesh runs; somebody may have changed the password or a bootstrap on purpose.
            print(f"the examples were not booted: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
