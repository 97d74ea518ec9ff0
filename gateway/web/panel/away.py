"""What pages do while a service is away: show what they can, say who does not answer, and come back by themselves."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from starlette.responses import Response

from gateway.http import sse
from gateway.web.health import SERVING
from meshkit.errors import DeadlineExceeded, MeshError, Unavailable

AWAY = (Unavailable, DeadlineExceeded)
"""Raised by calls of a service that does not answer, or not in time."""
EVENT = b"event: away\ndata: away\n\n"
"""Tells a page that changes by itself that it does not for the moment; htmx asks again on its own."""
T = TypeVar("T")


async def within(limit_s: float, answer: Awaitable[T]) -> T:
    """Return what services answer to several calls, or raise `DeadlineExceeded` after so long."""
    try:
        return await asyncio.wait_for(answer, limit_s)
    except TimeoutError:
        raise DeadlineExceeded("It took too long") from None


async def unless_away(limit_s: float, answer: Awaitable[T]) -> T | None:
    """Return what services answer, None if one of them is away."""
    try:
        return await within(limit_s, answer)
    except AWAY:
        return None


def stream() -> Response:
    """Answer for a page's parts while they cannot be had."""
    return Response(EVENT, media_type=sse.CONTENT_TYPE, headers=dict(sse.HEADERS))


def message(error: MeshError, states: Mapping[str, str], *, was_sent: bool) -> str:
    """Return what people are told: who does not answer, and what becomes of the page.

    `states` are those of services by name; `was_sent` if the request was to change something.
    """
    missing = [name for name, state in states.items() if state != SERVING]
    who = f"The {' and '.join(missing)} {'does' if len(missing) == 1 else 'do'} not answer" if missing else str(error)
    then = "Whether what you sent was done is not known: look before you send it again."
    return f"{who[:1].upper()}{who[1:]}. {then if was_sent else 'This page comes back by itself.'}"
