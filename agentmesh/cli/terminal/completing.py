"""What a shell offers at <TAB>: flows, their inputs and jobs, of the mesh that is named or is here.

A mesh that does not answer offers nothing, and nobody is asked for a password.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

import typer
from typer.core import TyperCommand

from agentmesh.cli.terminal import output, session
from agentmesh.client import AsyncClient

_JOBS_MAX = 50
Offer = tuple[str, str]
"""A word, and what it stands for."""


def flows(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the names of flows."""

    async def work(client: AsyncClient) -> list[Offer]:
        return [(flow.name.removeprefix("flows/"), flow.summary) async for flow in client.flows()]

    return _beginning(incomplete, _ask(context, work))


def jobs(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the ids of the newest jobs."""

    async def work(client: AsyncClient) -> list[Offer]:
        found: list[Offer] = []
        async with contextlib.aclosing(client.jobs(page_size=_JOBS_MAX)) as items:
            async for job in items:
                found.append((job.id, f"{job.state} {job.target.removeprefix('flows/')}"))
                if len(found) == _JOBS_MAX:
                    break
        return found

    return _beginning(incomplete, _ask(context, work))


class RunCommand(TyperCommand):
    """Offers the inputs of the flow, once it is named."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return what may be typed here."""
        own = super().shell_complete(ctx, incomplete)
        flow = ctx.params.get("flow")
        if not flow or not incomplete.startswith("-"):
            return own
        item = type(super().shell_complete(ctx, "--")[0])

        async def work(client: AsyncClient) -> list[Offer]:
            return [
                (f"--{each['name']}", str(each.get("label") or "")) for each in output.fields(await client.form(flow))
            ]

        return [item(word, help=about) for word, about in _beginning(incomplete, _ask(ctx, work))]


def _beginning(incomplete: str, offers: list[Offer]) -> list[Offer]:
    return [(word, about) for word, about in offers if word.startswith(incomplete)]


def _ask(context: Any, work: Callable[[AsyncClient], Awaitable[list[Offer]]]) -> list[Offer]:
    """Return what a mesh says; nothing if it does not, whatever is the matter: a shell has no place for words."""
    url = context.params.get("url") or os.environ.get("AGENTMESH_URL") or session.URL

    try:
        return session.call(url, work)
    except Exception:
        return []
