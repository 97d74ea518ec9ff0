"""Who watches jobs meanwhile, in both dialects: each goes on behind the last event that it has heard."""

import asyncio
import contextlib
import dataclasses

import httpx

from agentmesh.client import AsyncClient, Event
from tests.faults.promises import PASSING, Broken
from tests.mesh_wide.panel import FINAL, Sse, parse_sse

_AGAIN_S = 0.3
_SHOWN_AS_IS = ("result", "final")
"""Kinds whose payload is the same in both dialects."""


@dataclasses.dataclass(slots=True)
class Watch:
    """What somebody has heard of a job."""

    job: str
    native: list[Event] = dataclasses.field(default_factory=list)
    """By gRPC."""
    panel: list[Sse] = dataclasses.field(default_factory=list)
    """As server-sent events of Kodosumi."""


async def watch(client: AsyncClient, http: httpx.AsyncClient, job: str, *, native: bool, kept: list[Watch]) -> None:
    """Watch a job to its end, however often that breaks; what is heard is in `kept` at once."""
    heard = Watch(job)
    kept.append(heard)
    while True:
        if await (_by_grpc(client, heard) if native else _by_sse(http, heard)):
            return
        await asyncio.sleep(_AGAIN_S)


async def _by_grpc(client: AsyncClient, heard: Watch) -> bool:
    """Go on; return whether that was the end."""
    after = heard.native[-1].seq if heard.native else 0
    with contextlib.suppress(*PASSING):
        async with contextlib.aclosing(client.watch(heard.job, after_seq=after)) as events:
            async for event in events:
                heard.native.append(event)
    return bool(heard.native) and heard.native[-1].last


async def _by_sse(http: httpx.AsyncClient, heard: Watch) -> bool:
    """Go on; return whether that was the end."""
    headers = {"Last-Event-ID": str(heard.panel[-1].id)} if heard.panel else {}
    path = f"/outputs/stream/{heard.job.removeprefix('jobs/')}"
    block = ""
    with contextlib.suppress(*PASSING):
        async with http.stream("GET", path, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                return False
            async for line in answer.aiter_lines():
                block += f"{line}\n"
                if not line:
                    if block.startswith("id:"):  # else the stream says why it breaks
                        heard.panel += [event for event in parse_sse(block) if event.id]
                    block = ""
    return bool(heard.panel) and heard.panel[-1].event == "status" and heard.panel[-1].payload in FINAL


def check(heard: Watch, log: list[Event], broken: Broken) -> None:
    """Note what a watcher has not heard as it is in the log, once and in order."""
    if heard.native:
        if heard.native != log:
            broken.note("watch", f"{heard.job}: heard {[event.seq for event in heard.native]} of {len(log)}")
        return
    if [event.id for event in heard.panel] != [event.seq for event in log]:
        broken.note("watch", f"{heard.job}: was sent {[event.id for event in heard.panel]} of {len(log)}")
    for shown, event in zip(heard.panel, log, strict=False):
        if event.kind in _SHOWN_AS_IS and (shown.event, shown.payload) != (event.kind, event.payload):
            broken.note("watch", f"{heard.job}: {event.seq} was shown as {shown}")
