"""`agentmesh status`: whether a mesh answers, who one is there, and what runs."""

import collections
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import typer

from agentmesh.cli.terminal import output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import ENDED, JOB_STATES, AsyncClient, MeshError, NotAllowed, NotSignedIn, Unreachable

_COUNTED_MAX = 1000
_OPEN = tuple(state for state in JOB_STATES if state not in ENDED)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(url: Url = URL, as_json: AsJson = False) -> None:
    """Say whether a mesh answers, what of it serves, and what runs.  Exit code 1 if a part of it does not answer."""

    async def work(client: AsyncClient) -> int:
        said: dict[str, Any] = {"mesh": url, "you": "", "services": {}}
        wrong: dict[str, str] = {}
        for name, ask in _asked(client).items():
            begun = time.monotonic()
            try:
                said |= await ask()
                said["services"][name] = f"{(time.monotonic() - begun) * 1000:.0f} ms"
            except MeshError as error:
                if isinstance(error, Unreachable | NotSignedIn):
                    raise
                wrong[name] = str(error)
                said["services"][name] = str(error)
        if as_json:
            print(json.dumps(said, ensure_ascii=False))
        else:
            _show(said, wrong)
        return int(bool(wrong))

    raise typer.Exit(call(url, work))


def _asked(client: AsyncClient) -> dict[str, Callable[[], Awaitable[dict[str, Any]]]]:
    """Return what each service is asked, by its name."""

    async def auth() -> dict[str, Any]:
        me = await client.users.me()
        return {"you": f"{me.login or 'a guest'} ({'operator' if me.operator else 'user'})"}

    async def gateway() -> dict[str, Any]:
        if not await client.serves():
            raise MeshError("says that a part of the mesh does not serve", code="UNAVAILABLE")
        return {}

    async def registry() -> dict[str, Any]:
        states: collections.Counter[str] = collections.Counter()
        troubles: dict[str, str] = {}
        with contextlib.suppress(NotAllowed):  # only operators see apps
            async for expose in client.exposes():
                states[expose.state or "draft"] += 1
                if expose.enabled and expose.message:
                    troubles[expose.name] = expose.message
        return {"apps": dict(states), "troubles": troubles, "flows": await _count(client.flows())}

    async def runner() -> dict[str, Any]:
        states: collections.Counter[str] = collections.Counter()
        async with contextlib.aclosing(client.jobs(states=_OPEN)) as jobs:
            async for job in jobs:
                states[job.state] += 1
                if states.total() == _COUNTED_MAX:
                    break
        return {"jobs": dict(states), "locks": await _count(client.locks())}

    async def payments() -> dict[str, Any]:
        async with contextlib.aclosing(client.payments()) as found:
            await anext(found, None)
        return {}

    return {"auth": auth, "gateway": gateway, "registry": registry, "runner": runner, "payments": payments}


async def _count(items: AsyncIterator[Any]) -> int:
    count = 0
    async for _ in items:
        count += 1
        if count == _COUNTED_MAX:
            break
    return count


def _show(said: dict[str, Any], wrong: dict[str, str]) -> None:
    output.say(f"mesh      {said['mesh']}", "bold")
    output.say(f"you       {said['you']}")
    for name, how in said["services"].items():
        output.say(
            f"{name:<9} {'does not answer: ' if name in wrong else 'answers in '}{how}", "red" if name in wrong else ""
        )
    output.say(f"apps      {_counts(said.get('apps', {}))}, {said.get('flows', 0)} flows")
    for name, message in said.get("troubles", {}).items():
        output.say(f"          {name}: {message}", "yellow")
    output.say(f"jobs      {_counts(said.get('jobs', {}))}")
    if locks := said.get("locks"):
        output.say(f"locks     {locks} wait for an answer: agentmesh locks", "magenta")


def _counts(counts: dict[str, int]) -> str:
    more = "+" if sum(counts.values()) == _COUNTED_MAX else ""
    return ", ".join(f"{count}{more} {state}" for state, count in counts.items()) or "none"
