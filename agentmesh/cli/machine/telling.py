"""What the jobs of an app say, for its author at a terminal."""

import asyncio
import contextlib
import datetime
import time

from agentmesh.cli.jobs.jobs import tell_wait
from agentmesh.cli.terminal import output
from agentmesh.client import AsyncClient, Event, Job, MeshError

_LOOK_S = 0.3
_AT_ONCE = 20
"""So many jobs are looked at in one go, and told at the same time."""
_QUIET = frozenset({"inputs", "meta", "span", "token", "step", "usage", "final", "agent"})
_OWN = frozenset({"stdout", "stderr"})


async def tell(client: AsyncClient, expose: str) -> None:
    """Print what each new job of an app says, without end."""
    begun = datetime.datetime.now(datetime.UTC)
    told: dict[str, None] = {}
    async with asyncio.TaskGroup() as tasks:
        places = asyncio.Semaphore(_AT_ONCE)
        while True:
            for job in await _new(client, expose, begun, told):
                told[job.name] = None
                tasks.create_task(_tell_one(client, job, places), name=job.name)
            while len(told) > _AT_ONCE * 50:
                del told[next(iter(told))]
            await asyncio.sleep(_LOOK_S)


async def _new(client: AsyncClient, expose: str, begun: datetime.datetime, told: dict[str, None]) -> list[Job]:
    """Return the jobs that are not told yet, the oldest first.  A mesh that does not answer now has none."""
    found: list[Job] = []
    with contextlib.suppress(MeshError):
        async with contextlib.aclosing(client.jobs(all_owners=True, page_size=_AT_ONCE)) as jobs:
            async for job in jobs:
                if job.name in told or (job.create_time is not None and job.create_time < begun):
                    break
                if job.flow.removeprefix("flows/").partition("/")[0] == expose:
                    found.append(job)
    return found[::-1]


async def _tell_one(client: AsyncClient, job: Job, places: asyncio.Semaphore) -> None:
    flow = job.flow.removeprefix("flows/")
    async with places:
        output.say(f"{_clock(time.time())} {job.id}  {flow} {job.state}", "bold")
        try:
            async for event in client.watch(job.name):
                _event(job, event)
                await tell_wait(client, job.name, event)
            ended = await client.job(job.name)
        except MeshError as error:
            output.say(f"{_clock(time.time())} {job.id}  is not followed any more: {error}")
            return
        ran = (ended.finish_time - ended.start_time).total_seconds() if ended.finish_time and ended.start_time else 0
        output.say(f"{_clock(time.time())} {job.id}  {ended.state} after {ran:.1f} s", output.style_of(ended.state))
        if ended.succeeded and ended.text:
            output.say(_indented(ended.text))


def _event(job: Job, event: Event) -> None:
    if event.kind in _QUIET or event.kind == "status":
        return
    if event.kind in _OWN:
        for line in event.text.splitlines():
            output.say(f"{_clock(event.time)} {job.id}  {line}", "yellow" if event.kind == "stderr" else "")
        return
    output.say(f"{_clock(event.time)} {job.id}  {event.kind}: {event.text}".rstrip(), output.kind_style(event.kind))
    if event.detail:
        output.say(_indented(event.detail), "dim")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))
