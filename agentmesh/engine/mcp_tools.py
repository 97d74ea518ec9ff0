"""The tools of an MCP server (streamable HTTP), listed when a turn begins and called in its session.

The session lives in a task of its own: when its connection breaks, its library cancels the task that has opened it, and
that must not be the turn.
"""

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from agentmesh_protos.registry.v1 import tool_pb2

from agentmesh.engine import guard
from agentmesh.engine.usable import BYTES_MAX, SHOWN_CHARS, ToolError, Usable, credentials
from agentmesh.engine.work import Work

_CONNECT_S = 30.0
_CALL_S = 60.0
_CLOSE_S = 5.0


async def of(tool: tool_pb2.Tool, work: Work, stack: contextlib.AsyncExitStack) -> list[Usable]:
    """Return the tools of an MCP server, for as long as the stack stands.

    A server that cannot be used has one tool, which says so: the agent goes on without it.
    """
    session = _Session(tool, work)
    stack.push_async_callback(session.close)
    try:
        async with asyncio.timeout(_CONNECT_S):
            listed = await session.tools()
    except (ToolError, TimeoutError) as error:
        return [_broken(tool, str(error) or f"its server did not answer within {_CONNECT_S:g} s")]
    return [_usable(tool, session, one) for one in listed]


class _Session:
    def __init__(self, tool: tool_pb2.Tool, work: Work) -> None:
        self._endpoint = tool.endpoint
        self._headers = credentials(tool, work.run.secrets.get(tool.name, ""))
        self._private = work.run.private_tools
        self._listed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._session: Any = None
        self._task = asyncio.create_task(self._live(), name="mcp")

    async def _live(self) -> None:
        """Connect, list the tools, then stay until told to close."""
        # Some 20 MB, for those who use it: not on the loop that other jobs share.
        sessions = await asyncio.to_thread(importlib.import_module, "mcp.client.session")
        transport = await asyncio.to_thread(importlib.import_module, "mcp.client.streamable_http")
        async with (
            guard.client(private=self._private, timeout_s=_CALL_S, headers=self._headers) as http,
            transport.streamable_http_client(self._endpoint, http_client=http) as streams,
            sessions.ClientSession(streams[0], streams[1]) as session,
        ):
            await session.initialize()
            self._session = session
            self._listed.set_result((await session.list_tools()).tools)
            await self._stop.wait()

    async def tools(self) -> list[Any]:
        """Return what the server offers.  Raises `ToolError` if it cannot be used."""
        listed: list[Any] = await self._unless_broken(asyncio.ensure_future(self._wait_for_tools()))
        return listed

    async def _wait_for_tools(self) -> Any:
        return await asyncio.shield(self._listed)

    async def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """Call a tool.  Raises `ToolError` if the server does not answer."""
        async with asyncio.timeout(_CALL_S):
            return await self._unless_broken(asyncio.ensure_future(self._session.call_tool(name, arguments)))

    async def _unless_broken(self, call: "asyncio.Future[Any]") -> Any:
        """Return what a call gives, or raise `ToolError` once the session has broken."""
        try:
            await asyncio.wait((call, self._task), return_when=asyncio.FIRST_COMPLETED)
            if call.done() and not call.cancelled() and call.exception() is None:
                return call.result()
        finally:
            call.cancel()
        error = call.exception() if call.done() and not call.cancelled() else None
        raise ToolError(f"its server cannot be used{f': {type(error).__name__}' if error is not None else ''}")

    async def close(self) -> None:
        """End the session."""
        self._stop.set()
        _, late = await asyncio.wait((self._task,), timeout=_CLOSE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._listed.cancel()


def _broken(tool: tool_pb2.Tool, why: str) -> Usable:
    async def fail(arguments: dict[str, Any]) -> str:
        raise ToolError(why)

    return Usable(
        name=tool.display_name,
        description=why,
        schema={"type": "object", "properties": {}},
        needs_approval=False,
        call=fail,
        definition=tool.name,
    )


def _usable(tool: tool_pb2.Tool, session: _Session, one: Any) -> Usable:
    return Usable(
        name=one.name,
        description=one.description or "",
        schema=_schema(one),
        needs_approval=tool.needs_approval,
        call=_caller(session, one.name),
        definition=tool.name,
    )


def _caller(session: _Session, name: str) -> Callable[[dict[str, Any]], Awaitable[str]]:
    async def call(arguments: dict[str, Any]) -> str:
        try:
            result = await session.call(name, arguments)
        except TimeoutError:
            raise ToolError(f"its server did not answer within {_CALL_S:g} s") from None
        text = "\n".join(str(getattr(part, "text", "")) for part in result.content)[:BYTES_MAX]
        if result.is_error:
            raise ToolError(text[:SHOWN_CHARS] or "it failed")
        return text

    return call


def _schema(one: Any) -> dict[str, Any]:
    schema = one.input_schema
    return dict(schema) if isinstance(schema, dict) else {"type": "object", "properties": {}}
