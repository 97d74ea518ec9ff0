"""Where hosts are on a Ray cluster: which one that is, and what of the plan is different then."""

import contextlib
import dataclasses
import os
import pathlib
import secrets as random
import socket
from collections.abc import Mapping

from agentmesh.cluster import local, settings, standing
from agentmesh.host.own import environment
from agentmesh.supervisor import plan, ports
from agentmesh.supervisor.handing import RAY_TOKEN
from agentmesh.supervisor.loopback import is_loopback
from agentmesh.supervisor.services import CLUSTER, RAY, SERVICES, Service

HOSTS_ADDRESS = "AGENTMESH_HOSTS_ADDRESS"
_TOLD = (settings.FLOWS, settings.PLACE_S, settings.SPARES)
_TOLD_TO_RAY = (local.CPUS, local.MEMORY)
_PATIENCE_S = "600"
"""As long as a badge lives: who is away for longer finds no host that could come back."""
_RUNNING = "ray/ray_current_cluster"
"""Where `ray start` says what it has started, in RAY_TMPDIR or /tmp."""
_CONNECT_S = 2.0


def on_cluster(
    settled: "plan.Plan",
    secrets: Mapping[str, str],
    jobs: pathlib.Path,
    *,
    asked: bool,
    stack: contextlib.ExitStack,
) -> tuple["plan.Plan", Mapping[str, str]]:
    """Return the plan and the secrets of a mesh whose hosts are on a cluster; both as they are if none is asked for.

    A Ray of the mesh's own has its folder in `jobs`.  Raises `UsageError` and `PortsExhausted`.
    """
    pathlib.Path(settled.env["AGENTMESH_DATA_DIR"], standing.FILE).unlink(missing_ok=True)  # of a mesh before this
    address = os.environ.get(settings.ADDRESS, "") or (_running() if asked else "")
    if not address and not asked:
        return settled, secrets
    env = {**settled.env, "AGENTMESH_PLACEMENT": "ray"}
    told = {settings.ADDRESS: address, "AGENTMESH_DATA_DIR": env["AGENTMESH_DATA_DIR"], **_from_environ(_TOLD)}
    before: tuple[plan.ChildSpec, ...] = ()
    if address:
        runners = len([spec for spec in settled.children if spec.service is SERVICES["runner"]])
        env[HOSTS_ADDRESS] = _doors(address, runners, pathlib.Path(env["AGENTMESH_DATA_DIR"]), stack)
        env.setdefault("AGENTMESH_HOST_PATIENCE_S", _PATIENCE_S)
    else:
        (port, client_port), holds = ports.reserve(2)
        for hold in holds:
            stack.callback(hold.close)
        told |= {settings.ADDRESS: f"127.0.0.1:{port}", settings.OWN: "1"}
        secrets = {**secrets, RAY_TOKEN: random.token_hex(32)}
        of_ray = {local.PORT: str(port), local.CLIENT_PORT: str(client_port), local.FOLDER: str(jobs / "ray")}
        before = (_child("ray", RAY, "", {**of_ray, **_from_environ(_TOLD_TO_RAY)}),)
    bridge = _child("nursery", CLUSTER, env[environment.NURSERY], told)
    children = tuple(bridge if spec.name == "nursery" else spec for spec in settled.children)
    return dataclasses.replace(settled, children=(*before, *children), env=env), secrets


def _running() -> str:
    """Return the address of a Ray that our user or root runs on this machine; empty if there is none that answers."""
    path = pathlib.Path(os.environ.get("RAY_TMPDIR") or "/tmp", _RUNNING)
    try:
        if path.lstat().st_uid not in (os.geteuid(), 0):
            return ""
        address = path.read_text("utf-8").strip()
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, ValueError):
        return ""
    return address


def _doors(address: str, runners: int, data_dir: pathlib.Path, stack: contextlib.ExitStack) -> str:
    """Return where runners listen for hosts of a cluster: at the same ports after each start, that they come back.

    Raises `UsageError` if nobody has said where other machines reach them.
    """
    if said := os.environ.get(HOSTS_ADDRESS, ""):
        if runners > 1 and len(said.split(",")) != runners:
            raise plan.UsageError(
                f"hosts on the cluster {address} must reach each of {runners} runners: {HOSTS_ADDRESS} must have as "
                "many addresses, with commas between them, or leave out --replicas"
            )
        return said
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if not (is_loopback(host) or _is_ours(host)):
        raise plan.UsageError(
            f"hosts on the cluster {address} must reach the runner: set {HOSTS_ADDRESS} to HOST:PORT of this machine, "
            "with AGENTMESH_HOSTS_TLS_CA_FILE, _CERT_FILE and _KEY_FILE (`agentmesh certs` makes them), and "
            "AGENTMESH_ADVERTISED_ADDRESS if they reach it by another name"
        )
    path = data_dir / "hosts.port"
    before: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        before = [int(port) for port in path.read_text("utf-8").split()]
    claims = [ports.claim("127.0.0.1", port) for port in before]
    for claim in filter(None, claims):
        stack.callback(claim.close)
    if len(before) != runners or not all(claims) or not all(ports.is_free("127.0.0.1", port) for port in before):
        before, holds = ports.reserve(runners)
        for hold in holds:
            stack.callback(hold.close)
        path.write_text("".join(f"{port}\n" for port in before), "utf-8")
    return ",".join(f"127.0.0.1:{port}" for port in before)


def _is_ours(host: str) -> bool:
    """Return whether an address or a name is this machine's: whether one can listen there."""
    try:
        with socket.create_server((host, 0)):
            return True
    except OSError:
        return False


def _from_environ(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _child(name: str, service: Service, address: str, env: Mapping[str, str]) -> "plan.ChildSpec":
    return plan.ChildSpec(name=name, service=service, address=address, env=env)
