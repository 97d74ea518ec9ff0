"""`agentmesh chat`: talk with an agent."""

import asyncio
import contextlib
import dataclasses
import functools
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from agentmesh.cli.jobs.jobs import tell_wait
from agentmesh.cli.terminal import output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.cli.terminal.words import Words
from agentmesh.client import Agent, AsyncClient, Job

_PROMPT = "> "
_TITLE_CHARS = 80


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A message and what came of it, as `--json` prints them."""

    message: str
    answer: str
    """Empty if the job did not succeed."""
    job: str
    """`jobs/{id}`."""
    state: str
    error: str
    conversation: str
    """`conversations/{id}`."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)


def chat(
    agent: Annotated[str, typer.Argument(help="Slug, id or agents/ID.")],
    conversation: Annotated[str, typer.Option(help="Go on with this one: its id, or conversations/ID.")] = "",
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Talk with an agent: agentmesh chat atlas.

    Each line is a message, at a terminal or from a pipe; the end of the input (Ctrl-D) or Ctrl-C ends the talk.  The
    conversation's name comes last, on stderr.  Exit code 1 if an answer failed.
    """

    async def find(client: AsyncClient) -> tuple[Agent, str]:
        return await client.agents.get(agent), (
            (await client.conversations.get(conversation)).name if conversation else ""
        )

    # One connection per message: between them this thread waits for a line, where only so Ctrl-C reaches it.
    found, name = call(url, find)
    failed = False
    try:
        for message in _messages():
            if not name:
                name = call(url, functools.partial(_begin, title=message[:_TITLE_CHARS]))
            say = functools.partial(_say, agent=found.name, conversation=name, message=message, as_json=as_json)
            job = call(url, say)
            failed = failed or not job.succeeded
    finally:
        if name:
            output.note(name)
    raise typer.Exit(1 if failed else 0)


def _messages() -> Iterator[str]:
    """Yield the lines of the input that say something, to its end or Ctrl-C."""
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            if line := _line().strip():
                yield line
    if sys.stdin.isatty():
        print(file=sys.stderr)  # behind the prompt


def _line() -> str:
    """Return the next line.  Raises `EOFError` behind the last one."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # lets `input` edit the line
        return input(_PROMPT)
    if sys.stdin.isatty():
        print(_PROMPT, end="", file=sys.stderr, flush=True)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line


async def _begin(client: AsyncClient, *, title: str) -> str:
    return (await client.conversations.create(title)).name


async def _say(client: AsyncClient, *, agent: str, conversation: str, message: str, as_json: bool) -> Job:
    """Say something, print the answer as it comes, and return the job that gave it."""
    job = await client.create_job(agent, {"prompt": message}, conversation=conversation)
    words = Words()
    try:
        async with contextlib.aclosing(client.watch(job.name)) as events:
            async for event in events:
                if not as_json:
                    words.hear(event)
                if event.kind == "lock":
                    words.end_line()
                await tell_wait(client, job.name, event)
    except asyncio.CancelledError:
        words.end_line()
        output.note(f"the job goes on: agentmesh watch {job.id}, or agentmesh cancel {job.id}")
        raise
    words.end()
    job = await client.job(job.name)
    if as_json:
        said = {"answer": job.text, "job": job.name, "state": job.state, "error": job.error}
        output.as_json(Exchange(message=message, conversation=conversation, **said))
    elif not (job.succeeded and words.last == job.text):
        output.outcome(job)
    return job
