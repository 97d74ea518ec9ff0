"""`agentmesh jobs`, `show`, `watch`, `cancel`, `delete`, `pause` and `resume`: what runs and what has run."""

import contextlib
import datetime
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Any

import typer

from agentmesh.cli.terminal import completing, finding, output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.cli.terminal.words import Words
from agentmesh.client import JOB_STATES, AsyncClient, Event, Job, MeshError

JobName = Annotated[
    str,
    typer.Argument(
        help="Id of the job, as `agentmesh jobs` shows it, or its beginning.", autocompletion=completing.jobs
    ),
]
JobNames = Annotated[
    list[str], typer.Argument(help="Ids of jobs, or their beginnings.", autocompletion=completing.jobs)
]

_SPOKEN = ("token", "span", "step")
"""What an agent's log says word by word, for traces and for another attempt."""


_LAST_EVENTS = 10
"""Among them is why a job has failed."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(jobs)
    app.command()(show)
    app.command()(watch)
    app.command()(cancel)
    app.command()(delete)
    app.command()(pause)
    app.command()(resume)


def jobs(
    query: Annotated[str, typer.Argument(help="Only jobs with this in id, flow, state, inputs or result.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
    state: Annotated[
        list[str] | None, typer.Option("--state", "-s", help=f"Only in this state; repeat it: {', '.join(JOB_STATES)}.")
    ] = None,
    flow: Annotated[
        list[str] | None, typer.Option("--flow", "-f", help="Only of this flow, agents/… or crews/…; repeat it.")
    ] = None,
    since: Annotated[str, typer.Option(help="Only made since: 30m, 2h, 7d, or a date.")] = "",
    everybody: Annotated[bool, typer.Option("--all", help="Of every user (operators only).")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    states = [_state(word) for text in state or () for word in text.lower().split(",")]
    after = finding.since(since)

    async def work(client: AsyncClient) -> None:
        found = await _newest(client.jobs(query, states=states, targets=flow or (), all_owners=everybody), limit, after)
        if as_json:
            for job in found:
                output.as_json(job)
            return
        if not found:
            none = "no job is like that: `agentmesh jobs` lists all of yours, --all everybody's"
            output.note(
                none if query or states or flow or after else "no jobs yet: `agentmesh flows` lists what can be run"
            )
        rows = [
            (job.id, job.target.removeprefix("flows/"), job.state, output.moment(job.create_time), job.error)
            for job in found
        ]
        output.table(("JOB", "TARGET", "STATE", "CREATED", "ERROR"), rows)

    call(url, work)


def _state(text: str) -> str:
    word = text.strip().replace("-", "_").replace(" ", "_")
    if word not in JOB_STATES:
        raise typer.BadParameter(f"--state: there is no state {text!r}: it is one of {', '.join(JOB_STATES)}")
    return word


async def _newest(jobs: AsyncGenerator[Job, None], limit: int, after: datetime.datetime | None) -> list[Job]:
    """Return so many jobs at most, of those that were made since a moment."""
    found: list[Job] = []
    async with contextlib.aclosing(jobs) as items:
        async for job in items:
            if after is not None and job.create_time is not None and job.create_time < after:
                break
            found.append(job)
            if len(found) == limit:
                break
    return found


def show(job: JobName, url: Url = URL, as_json: AsJson = False) -> None:
    """Show a job as it is now: its state, times, inputs, and what came of it or what it waits for."""

    async def work(client: AsyncClient) -> None:
        found = await client.job(await finding.job_name(client, job))
        if as_json:
            output.as_json(found)
            return
        detail = "" if found.state != "failed" else await _traceback(client, found)
        output.job(found, detail)
        for name in found.locks:
            with contextlib.suppress(MeshError):  # it was answered meanwhile
                output.lock(await client.lock(name))
        if found.state == "awaiting_payment":
            output.note(f"the job waits until it is paid for: agentmesh pay {found.id}")

    call(url, work)


async def _traceback(client: AsyncClient, job: Job) -> str:
    """Return where a job failed, which operators are told; else nothing."""
    events = await client.events(job.name, after_seq=max(job.last_seq - _LAST_EVENTS, 0))
    return next((event.detail for event in reversed(events) if event.detail), "")


def watch(
    job: JobName,
    after: Annotated[int, typer.Option(min=0, help="Only events behind this number.")] = 0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Show a job's events to its end.  Exit code 1 if it did not succeed."""

    async def work(client: AsyncClient) -> int:
        return await follow(client, await finding.job_name(client, job), after=after, as_json=as_json)

    raise typer.Exit(call(url, work))


def cancel(jobs: JobNames, url: Url = URL, as_json: AsJson = False) -> None:
    """Stop jobs.  Their processes are gone when this returns."""
    _change(url, jobs, AsyncClient.cancel, as_json=as_json)


def pause(jobs: JobNames, url: Url = URL, as_json: AsJson = False) -> None:
    """Halt jobs.  They hold no slot meanwhile, and go on with `resume`."""
    _change(url, jobs, AsyncClient.pause, as_json=as_json)


def resume(jobs: JobNames, url: Url = URL, as_json: AsJson = False) -> None:
    """Let jobs go on that were paused."""
    _change(url, jobs, AsyncClient.resume, as_json=as_json)


def _change(url: str, names: list[str], change: Callable[[AsyncClient, str], Awaitable[Job]], *, as_json: bool) -> None:
    """Change one job after the other, and say the state of each."""

    async def work(client: AsyncClient) -> None:
        for name in [await finding.job_name(client, each) for each in names]:
            changed = await change(client, name)
            if as_json:
                output.as_json(changed)
            else:
                output.say(f"{changed.name} {changed.state}")

    call(url, work)


def delete(
    jobs: JobNames,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, on a terminal.")] = False,
    url: Url = URL,
) -> None:
    """Forget jobs with their events and results, for good.  Those that run are stopped first."""

    async def work(client: AsyncClient) -> None:
        names = [await finding.job_name(client, each) for each in jobs]
        if not yes and sys.stdin.isatty():
            what = names[0] if len(names) == 1 else f"{len(names)} jobs"
            typer.confirm(f"Forget {what}, for good?", abort=True, err=True)
        for name in names:
            await client.delete_job(name)
            output.say(f"{name} deleted")

    call(url, work)


async def follow(client: AsyncClient, name: str, *, after: int = 0, as_json: bool = False) -> int:
    """Print a job's events to its end, then what came of it; return the exit code."""
    words = Words()
    speaks = (await client.job(name)).target.startswith(("agents/", "crews/"))
    with contextlib.ExitStack() as stack:
        stack.enter_context(output.busy(name))
        async for event in client.watch(name, after_seq=after):
            if as_json:
                output.as_json(event)
            elif speaks and event.kind in _SPOKEN:
                if event.kind == "token":
                    stack.close()  # what shows that something runs would overwrite the line
                words.hear(event)
            else:
                words.end_line()
                output.event(event, numbered=not speaks)
                await tell_wait(client, name, event)
    words.end()
    job = await client.job(name)
    if not as_json and not (output.console.is_terminal and job.text and words.last == job.text):
        output.outcome(job)
    return 0 if job.state == "succeeded" else 1


async def tell_wait(client: AsyncClient, name: str, event: Event) -> None:
    """Say what a job waits for, and what to do about it; an old event of a wait that is over says nothing."""
    said = _said(event)
    with contextlib.suppress(MeshError):  # it may be over, and forgotten
        if event.kind == "lock":
            lock = await client.lock(f"jobs/{name.removeprefix('jobs/')}/locks/{said.get('lid')}")
            if lock.pending:
                output.lock(lock)
        elif event.kind == "payment" and said.get("step") == "initialized":
            job = await client.job(name)
            if job.state == "awaiting_payment":
                output.note(f"the job waits until it is paid for: agentmesh pay {job.id}")


def _said(event: Event) -> dict[str, Any]:
    """Return what a lock or payment event holds."""
    if event.kind not in ("lock", "payment"):
        return {}
    with contextlib.suppress(ValueError):
        value = json.loads(event.payload)
        value = value.get("dict", value) if isinstance(value, dict) else {}
        return value if isinstance(value, dict) else {}
    return {}
