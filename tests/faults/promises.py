"""What must hold after everything that went wrong: counted, each with what was seen."""

import asyncio
import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Sequence

import httpx

from agentmesh.client import AsyncClient, Event, Job, MeshError, NotFound
from tests.faults.flows import TAKEN

WORK, PAID = "work", "errand"
STEPPED = ("steps", "steps-shared")
"""The flows that take steps."""
ASKING = ("ask", "ask-shared")
"""Those that wait for an answer."""
PASSING = (MeshError, httpx.HTTPError, TimeoutError, OSError)
"""What a mesh that mends itself may say for a while."""
ENDED_S = 120.0
BACK_S = 120.0
_AT_ONCE = 16


PROMISES = {
    "missing": "an acknowledged job is there",
    "stuck": "a job ends",
    "gap": "a log counts from 1, and its job's words are all there, in order",
    "duplicate": "what was asked for once is there once",
    "terminals": "a log has one end, which is its last line",
    "step": "no step is taken again that was recorded, and every attempt has what was recorded",
    "watch": "who watches hears the log, once and in order, in either dialect",
    "app": "an app comes back by itself",
    "orphan": "no process outlives its mesh",
    "clock": "a clock that is set wrong is wrong for whom it is set",
    "mesh": "the mesh starts again, and ends with 0",
}


@dataclasses.dataclass(slots=True, kw_only=True)
class Submission:
    """One job that somebody wants."""

    tag: str
    path: str
    steps: int
    job: str = ""
    """Its name once it was acknowledged; empty before."""


@dataclasses.dataclass(slots=True)
class Broken:
    """The promises that were broken."""

    seen: dict[str, list[str]] = dataclasses.field(default_factory=lambda: {name: [] for name in PROMISES})

    def note(self, promise: str, what: str) -> None:
        """Note one."""
        self.seen[promise].append(what)

    @property
    def count(self) -> int:
        """How many were broken."""
        return sum(map(len, self.seen.values()))


async def check_ends(client: AsyncClient, submissions: Sequence[Submission], broken: Broken) -> dict[str, Job]:
    """Wait until every acknowledged job has ended, as long as one does now and then; return them by name."""
    jobs: dict[str, Job] = {}
    open_names = {submission.job for submission in submissions if submission.job}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENDED_S) as patience:
            while open_names:
                for name in sorted(open_names):
                    try:
                        job = await client.job(name)
                    except NotFound:
                        broken.note("missing", name)
                        open_names.discard(name)
                        continue
                    except PASSING:
                        continue
                    jobs[name] = job
                    if job.ended:
                        open_names.discard(name)
                        patience.reschedule(asyncio.get_running_loop().time() + ENDED_S)
                await asyncio.sleep(0.5)
    for name in open_names:
        state = f"{jobs[name].state} {jobs[name].reason}" if name in jobs else "cannot be read"
        broken.note("stuck", f"{name} of {jobs[name].flow if name in jobs else '?'}: {state}")
    return jobs


async def check_logs(
    client: AsyncClient, submissions: Sequence[Submission], jobs: dict[str, Job], broken: Broken
) -> dict[str, list[Event]]:
    """Look at the log of every job; return them by the jobs' names."""
    logs: dict[str, list[Event]] = {}
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(submission: Submission) -> None:
        job = jobs.get(submission.job)
        if job is not None and job.ended:
            async with slots:
                logs[job.name] = await client.events(job.name)
            check_log(submission, job, logs[job.name], broken)

    await asyncio.gather(*(one(submission) for submission in submissions))
    return logs


def check_log(submission: Submission, job: Job, events: Sequence[Event], broken: Broken) -> None:
    """Check that a job's log is whole."""
    if [event.seq for event in events] != list(range(1, job.last_seq + 1)):
        broken.note("gap", f"{job.name}: {len(events)} events, the last is {job.last_seq}")
    if [event.last for event in events].count(True) != 1 or not events[-1].last:
        broken.note("terminals", job.name)
    if submission.path == PAID:
        return
    if submission.path in STEPPED:
        check_steps(submission, job, events, broken)
        return
    attempts = said_by_attempt(events)
    # One that waits for an answer when its host is lost is made again once it has it.
    few = len(attempts) <= 1 or submission.path in ASKING
    in_order = all(said == list(range(len(said))) for said in attempts)
    whole = not job.succeeded or (bool(attempts) and len(attempts[-1]) == submission.steps)
    if not (few and in_order and whole):
        statuses = [(event.seq, event.payload) for event in events if event.kind == "status"]
        said = [len(said) for said in attempts]
        what = f"of {submission.path or '/'} {job.state}: said {said} of {submission.steps} steps"
        broken.note("gap", f"{job.name} {what}, {statuses}")


def said_by_attempt(events: Sequence[Event]) -> list[list[int]]:
    """Return the numbers that each attempt of a job has said."""
    attempts: list[list[int]] = []
    for event in events:
        if event.kind == "status" and event.payload == "running":
            attempts.append([])
        elif event.kind == "result":
            if not attempts:  # it was told to stop before it was known to run
                attempts.append([])
            attempts[-1].append(json.loads(event.payload)["dict"]["step"])
    return attempts


def check_steps(submission: Submission, job: Job, events: Sequence[Event], broken: Broken) -> None:
    """Check that what was recorded was neither done again nor forgotten."""
    recorded: dict[int, str] = {}
    for event in events:
        if event.kind == "step":
            step = json.loads(event.payload)
            number = int(step["name"].removeprefix("step "))
            if number in recorded:
                broken.note("step", f"{job.name}: {step['name']} is recorded twice")
            recorded[number] = step["result"]
        elif event.kind == "debug" and event.payload.startswith(TAKEN):
            if int(event.payload.removeprefix(TAKEN)) in recorded:
                broken.note("step", f"{job.name}: {event.seq} takes a step that is recorded")
        elif event.kind == "result":
            said = json.loads(event.payload)["dict"]
            if recorded.get(said["step"]) != said["word"]:
                broken.note("step", f"{job.name}: {event.seq} says {said}, not {recorded.get(said['step'])}")
    if job.succeeded and sorted(recorded) != list(range(submission.steps)):
        broken.note("step", f"{job.name}: {len(recorded)} of {submission.steps} steps are recorded")


async def check_once(client: AsyncClient, submissions: Sequence[Submission], broken: Broken) -> None:
    """Find what was made twice, or made and never acknowledged under another name."""
    wanted = {submission.tag: submission.job for submission in submissions}
    found: Counter[str] = Counter()
    async for job in client.jobs():
        tag = str(job.inputs.get("tag", ""))
        if tag in wanted:
            found[tag] += 1
    for tag, count in found.items():
        if count > 1:
            broken.note("duplicate", f"{tag}: {count} jobs")


async def check_apps(client: AsyncClient, broken: Broken) -> None:
    """See that every app runs a job to a good end."""
    for flow, inputs in (
        (WORK, {"tag": "last", "steps": 1, "pause_s": 0}),
        (f"{WORK}/shared", {"tag": "last", "steps": 1, "pause_s": 0}),
        (f"{WORK}/handled", {"tag": "last", "steps": 1}),
        (PAID, {"gate": "", "question": ""}),
    ):
        last = "no answer"
        try:
            async with asyncio.timeout(BACK_S):
                while True:
                    try:
                        job = await client.run(flow, inputs, free=flow == PAID)
                        if job.succeeded:
                            break
                        last = f"{job.state}: {job.error}"
                    except MeshError as error:
                        last = str(error)
                    await asyncio.sleep(0.5)
        except TimeoutError:
            broken.note("app", f"{flow}: {last}")
