"""Parts of pages that come anew when they have changed, as server-sent events that htmx puts in place.

Each event is the whole part: a page that missed one is right with the next, and what a page without script shows on a
reload is the same.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.http import sse
from gateway.http.exchange import HEAD_HEADER
from gateway.web.panel import away, shell
from gateway.web.panel.visitor import Visitor
from meshkit.errors import Exhausted, MeshError
from meshkit.principal import acting

_LOOK_S = 1.0
"""How often a list is asked for anew while somebody looks at it."""
PAUSE_S = 0.1
"""Between two parts of a page that is watched: what happens meanwhile comes with the next."""
_HEADERS = (("content-type", sse.CONTENT_TYPE), *sse.HEADERS)
T = TypeVar("T")
ENDED = b"event: end\ndata: end\n\n"
"""Tells htmx that nothing more will come (`hx-sse:close`)."""


class Live(Response):
    """Parts of a page until the client hangs up, or its token does not hold any more."""

    def __init__(self, visitor: Visitor, parts: AsyncGenerator[str, None]) -> None:
        self.status_code = 200
        self.background = None
        self._visitor = visitor
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with 429 if its reader has as many of them open as they may."""
        assert self._visitor.live is not None
        if HEAD_HEADER in self._visitor.request.headers:  # or the edge would swallow it for as long as it comes
            await self._parts.aclose()
            await Response(headers=dict(_HEADERS))(scope, receive, send)
            return
        with contextlib.ExitStack() as place:
            try:
                place.enter_context(self._visitor.live.of(self._visitor.principal.user))
            except Exhausted as error:
                await self._parts.aclose()
                await shell.too_many(self._visitor.request, error, me=self._visitor)(scope, receive, send)
                return
            await self._show(receive, send)

    async def _show(self, receive: Receive, send: Send) -> None:
        verifier = self._visitor.verifier
        assert verifier is not None
        with acting(self._visitor.principal):
            tasks = [
                asyncio.ensure_future(each)
                for each in (self._send(send), _hung_up(receive), verifier.until_barred(self._visitor.principal))
            ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            with contextlib.suppress(MeshError):  # the page asks again, and is told why or where to sign in
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        raw = [(name.encode(), value.encode()) for name, value in _HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        chunks = sse.stream(self._parts, _event, alive=lambda _: b": alive\n\n", end=ENDED)
        last = b""
        try:
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except away.AWAY:
            last = away.EVENT
        await send({"type": "http.response.body", "body": last, "more_body": False})


async def changes(part: Callable[[], Awaitable[str]]) -> AsyncGenerator[str, None]:
    """Yield a part, and again whenever it is another one.  Ends with the first error."""
    last = ""
    while True:
        now = await part()
        if now != last:
            yield now
            last = now
        await asyncio.sleep(_LOOK_S)


class Follower(Generic[T]):
    """Takes in what happens, beside who shows it: however much it is, a part is rendered once for all of it."""

    def __init__(self, happenings: AsyncGenerator[T, None], take: Callable[[T], None]) -> None:
        self._moved = asyncio.Event()
        self._looking = asyncio.ensure_future(self._look(happenings, take))

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self._looking.done()

    def caught_up(self) -> None:
        """From now on `moved` waits for something else."""
        self._moved.clear()

    async def moved(self) -> None:
        """Wait until something has happened, or will not any more."""
        waiting = asyncio.ensure_future(self._moved.wait())
        try:
            await asyncio.wait((waiting, self._looking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def close(self) -> None:
        """Look no longer."""
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self, happenings: AsyncGenerator[T, None], take: Callable[[T], None]) -> None:
        async with contextlib.aclosing(happenings) as all_of_them:
            async for happening in all_of_them:
                take(happening)
                self._moved.set()


def _event(part: str) -> bytes:
    return "".join(f"data: {line}\n" for line in part.splitlines()).encode() + b"\n"


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
