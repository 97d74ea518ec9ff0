"""`agentmesh jobs`, `watch`, `cancel`, `pause` and `resume`: what runs and what has run."""

import contextlib
import json
from typing import Annotated, Any

import typer

from agentmesh.cli import output
from agentmesh.cli.session import URL, AsJson, Url, call
from agentmesh.cli.words import Words
from agentmesh.client import AsyncClient, Event, MeshError

JobName = Annotated[str, typer.Argument(help="Id of the job, as `agentmesh jobs` shows it.")]


_SPOKEN = ("token", "span", "step")
"""What an agent's log says word by word, for traces and for another attempt."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(jobs)
    app.command()(watch)
    app.command()(cancel)
    app.command()(pause)
    app.command()(resume)


def jobs(
    query: Annotated[str, typer.Argument(help="Only jobs with this in flow, state, inputs or result.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
    everybody: Annotated[bool, typer.Option("--all", help="Of every user (operators only).")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""

    async def work(client: AsyncClient) -> None:
        found = []
        async with contextlib.aclosing(client.jobs(query, all_owners=everybody)) as items:
            async for job in items:
                found.append(job)
                if len(found) == limit:
                    break
        if as_json:
            for job in found:
                output.as_json(job)
            return
        rows = [
            (job.id, job.target.removeprefix("flows/"), job.state, output.moment(job.create_time), job.error)
            for job in found
        ]
        output.table(("JOB", "TARGET", "STATE", "CREATED", "ERROR"), rows)

    call(url, work)


def watch(
    job: JobName,
    after: Annotated[int, typer.Option(min=0, help="Only events behind this number.")] = 0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Show a job's events to its end.  Exit code 1 if it did not succeed."""

    async def work(client: AsyncClient) -> int:
        return await follow(client, job, after=after, as_json=as_json)

    raise typer.Exit(call(url, work))


def cancel(job: JobName, url: Url = URL) -> None:
    """Stop a job.  Its process is gone when this returns."""

    async def work(client: AsyncClient) -> None:
        ended = await client.cancel(job)
        output.say(f"{ended.name} {ended.state}")

    call(url, work)


def pause(job: JobName, url: Url = URL) -> None:
    """Halt a job.  It holds no slot meanwhile, and goes on with `resume`."""

    async def work(client: AsyncClient) -> None:
        paused = await client.pause(job)
        output.say(f"{paused.name} {paused.state}")

    call(url, work)


def resume(job: JobName, url: Url = URL) -> None:
    """Let a job go on that was paused."""

    async def work(client: AsyncClient) -> None:
        resumed = await client.resume(job)
        output.say(f"{resumed.name} {resumed.state}")

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
            elif event.kind != "final":  # comes again as the result
                words.end_line()
                output.event(event)
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
