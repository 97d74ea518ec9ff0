"""`agentmesh locks` and `answer`: what jobs ask people."""

import asyncio
import contextlib
import difflib
import re
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from agentmesh.cli.jobs.flows import parse_inputs
from agentmesh.cli.terminal import late, output
from agentmesh.cli.terminal.asking import ask
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, InvalidInputs, Lock, NotAllowed, NotFound

_JOB_ID = re.compile(r"(jobs/)?[0-9a-f]{24}\Z")
_FULL_NAME = re.compile(r"jobs/[^/]+/locks/[^/]+\Z")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(locks)
    # What follows LOCK belongs to its form: an input may be called `url`, too.
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
    )(answer)


def locks(
    job: Annotated[str, typer.Argument(help="Only locks of this job.")] = "",
    everybody: Annotated[bool, typer.Option("--all", help="Of every user (operators only).")] = False,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that wait for no answer any more.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on: show each lock as it changes.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List the locks that wait for an answer, newest first; `agentmesh answer` gives one."""
    if watch and (job or ended):
        raise typer.BadParameter("--watch shows every lock of yours (or --all): leave JOB and --ended out")

    async def work(client: AsyncClient) -> None:
        if watch:
            async with contextlib.aclosing(client.watch_locks(all_owners=everybody)) as changes:
                async for lock in changes:
                    output.as_json(lock) if as_json else output.say("\t".join(_row(lock)))
            return
        found = [lock async for lock in client.locks(job, ended=ended, all_owners=everybody)]
        if as_json:
            for lock in found:
                output.as_json(lock)
            return
        output.table(("LOCK", "JOB", "STATE", "TITLE", "EXPIRES"), map(_row, found))

    call(url, work)


def answer(
    context: typer.Context,
    lock: Annotated[str, typer.Argument(help="The lock's id, or the id of the job that waits on it.")],
    inputs: Annotated[str, typer.Option(help="Values as a JSON object, or @FILE.")] = "",
    wait_s: Annotated[
        float,
        typer.Option("--wait", min=0.0, help="For how many seconds a job may not have asked; 0: while it goes on."),
    ] = 0.0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Answer a lock: agentmesh answer LOCK --greeting "Hello".

    Options of this command come before LOCK; what follows it are the values of its form.  Without any, they are asked
    for on a terminal.
    """

    async def names(client: AsyncClient) -> set[str]:
        return {str(field["name"]) for field in output.fields((await find(client, lock, wait_s)).elements)}

    typed = parse_inputs(context.args)
    said, url = late.taken(typed, late.ALWAYS, names, url)
    as_json = as_json or "json" in said
    given = bool(inputs or typed)
    values = late.inputs(typed, inputs, names, url) | typed

    async def work(client: AsyncClient) -> None:
        wanted = await find(client, lock, wait_s)
        _check_names(wanted, typed)
        answered = await _answer(client, wanted, values, given=given)
        if as_json:
            output.as_json(answered)
        else:
            output.say(f"{answered.name} {answered.state}")

    call(url, work)


async def find(client: AsyncClient, wanted: str, wait_s: float = 0.0) -> Lock:
    """Return the lock of a full name, an id, the beginning of one, or of a job that waits on one only.

    A job that goes on and has not asked is waited for, `wait_s` at most unless that is 0.  Raises `NotFound` with the
    remedy if there is none, or more than one.
    """
    wanted = wanted.strip("/")
    if _FULL_NAME.fullmatch(wanted):
        return await client.lock(wanted)
    if _JOB_ID.fullmatch(wanted):
        await _asked(client, wanted, wait_s)
        found = [lock async for lock in client.locks(wanted)]
    else:
        found = [lock async for lock in client.locks() if lock.id.startswith(wanted.lower())]
        if not found:  # an operator may answer for others
            with contextlib.suppress(NotAllowed):
                found = [lock async for lock in client.locks(all_owners=True) if lock.id.startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(lock.id for lock in found[:5])
        raise NotFound(f"{wanted} has {len(found)} open locks, name one of them: {names}", code="NOT_FOUND")
    raise NotFound(f"there is no open lock {wanted}; see `agentmesh locks`", code="NOT_FOUND")


async def _asked(client: AsyncClient, job: str, wait_s: float) -> None:
    """Wait until a job asks, ends, or has had time enough."""
    if [lock async for lock in client.locks(job)] or (await client.job(job)).ended:
        return
    output.note(f"{job.removeprefix('jobs/')} has asked nothing yet: this waits until it does, or ends")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s or None), contextlib.aclosing(client.watch(job)) as events:
            async for event in events:
                if event.kind == "lock" and [lock async for lock in client.locks(job)]:
                    return


async def _answer(client: AsyncClient, lock: Lock, values: dict[str, Any], *, given: bool) -> Lock:
    """Answer with the values; at a terminal ask for them, and again for those that are refused."""
    fields = output.fields(lock.elements)
    if given or not fields:
        return await client.answer(lock.name, values)
    if not sys.stdin.isatty():
        options = " ".join(f"--{field['name']} …" for field in fields)
        raise ValueError(f"the lock asks for values: agentmesh answer {lock.id} {options}")
    output.lock(lock)
    values = ask(fields)
    while True:
        try:
            return await client.answer(lock.name, values)
        except InvalidInputs as error:
            for name, texts in error.fields.items():
                output.note(f"  {name}: {'; '.join(texts)}")
            again = [field for field in fields if field["name"] in error.fields] or fields
            if not error.fields:
                output.note(f"  {error}")
            values |= ask(again)


def _check_names(lock: Lock, values: Iterable[str]) -> None:
    """Raise for typed values that the form does not have: most likely they are misspelt."""
    names = [str(field["name"]) for field in output.fields(lock.elements)]
    for value in values:
        if value not in names:
            near = difflib.get_close_matches(value, names, n=1)
            hint = f"did you mean --{near[0]}?" if near else f"it has {', '.join(names) or 'none'}"
            raise ValueError(f"the lock has no input {value!r}; {hint} (--inputs sends anything)")


def _row(lock: Lock) -> tuple[str, ...]:
    job = lock.job.removeprefix("jobs/")
    return (lock.id, job, lock.state, lock.title, output.moment(lock.expire_time))
