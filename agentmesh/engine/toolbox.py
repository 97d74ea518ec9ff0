"""Calls of tools: approved where a human must, recorded, and told of in the trace."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset
from pydantic_ai.toolsets.abstract import ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from agentmesh.engine.app import APPROVAL
from agentmesh.engine.place import Place
from agentmesh.engine.trace import called
from agentmesh.engine.usable import ToolError, Usable
from agentmesh.engine.work import Work
from agentmesh.locks import LockExpired

_ANY = SchemaValidator(core_schema.any_schema())
_RESULT_CHARS_MAX = 200_000


class Toolbox(AbstractToolset[Any]):
    """The tools of one turn."""

    def __init__(self, tools: Sequence[Usable], work: Work, place: Place) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._work = work
        self._place = place

    @property
    def id(self) -> str | None:
        """Return no id: there is one of these in a turn."""
        return None

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """Return what a model may call."""
        return {
            tool.name: ToolsetTool(
                toolset=self,
                tool_def=ToolDefinition(
                    name=tool.name, description=tool.description, parameters_json_schema=tool.schema
                ),
                max_retries=2,
                args_validator=_ANY,
            )
            for tool in self._tools.values()
        }

    async def call_tool(self, name: str, tool_args: Any, ctx: RunContext[Any], tool: ToolsetTool[Any]) -> str:
        """Return what a tool returns, from the log or by a call; a failure is told to the model."""
        arguments = _object(tool_args)
        step = f"{self._place.name}.tool.{ctx.tool_call_id}"
        said = await self._work.tracer.step(step, self._call, step, self._tools[name], arguments)
        self._work.purse.spend()
        return str(said["result"])

    async def _call(self, span_id: str, tool: Usable, arguments: dict[str, Any]) -> dict[str, str]:
        """Call a tool.  No model, and so no provider of one, is told a token that the tool echoes."""
        work, place = self._work, self._place
        work.purse.check()
        about: dict[str, Any] = {"parent": place.name, "agent": place.agent, "task_def": place.task_def}
        work.trace.begin(span_id, "tool_call", tool.name, **about, arguments=arguments, tool=tool.definition)
        approval = await self._approved(span_id, tool, arguments) if tool.needs_approval else {}
        if approval and not approval["approve"]:
            refused = f"a human refused this call: {approval['comment'] or 'no reason was given'}"
            work.trace.end(span_id, error=refused, approval=approval)
            return {"result": refused}
        shown: dict[str, Any] = {"approval": approval} if approval else {}
        try:
            result = await tool.call(arguments)
        except ToolError as error:
            work.trace.end(span_id, error=str(error), **shown)
            return {"result": f"error: {work.redactor.text(str(error))}"}
        except asyncio.CancelledError:
            work.trace.end(span_id, error="stopped", **shown)
            raise
        work.trace.end(span_id, result=result, **shown)
        return {"result": work.redactor.text(result)[:_RESULT_CHARS_MAX]}

    async def _approved(self, span_id: str, tool: Usable, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a human; the answer is recorded, and an audit of it."""
        work, place = self._work, self._place
        asked = {
            "agent": called(place.agent),
            "tool": tool.name,
            "arguments": json.dumps(arguments, ensure_ascii=False),
        }

        async def ask() -> dict[str, Any]:
            try:
                answer = await work.tracer.lock(APPROVAL, asked)
                event = "security.approval_granted" if answer["approve"] else "security.approval_denied"
            except LockExpired:
                answer, event = {"approve": False, "comment": "nobody answered in time"}, "security.approval_timeout"
            about = {"parent": span_id, "agent": place.agent, "task_def": place.task_def}
            work.trace.mark(f"{span_id}.approval", "audit", event, **about, event=event, decision=answer)
            return dict(answer)

        return dict(await work.tracer.step(f"{span_id}.approval", ask))


def _object(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError:
            raise ModelRetry("the arguments are no JSON object") from None
    if not isinstance(arguments, dict):
        raise ModelRetry("the arguments must be a JSON object")
    return arguments
