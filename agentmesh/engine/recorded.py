"""Calls of a model: streamed, counted, tried again, and recorded, so that no attempt of a job pays for one twice."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from agentmesh.engine import models
from agentmesh.engine.guard import Refused
from agentmesh.engine.place import Place
from agentmesh.engine.work import Work
from agentmesh.errors import KodosumiError

TRIES_MAX = 4
PAUSE_S = 0.5
PAUSE_S_MAX = 60.0
"""A provider that asks for more is not waited for."""
_AGAIN_STATUSES = (408, 409, 425, 429)
_TOKEN_S = 0.02
_TOKEN_CHARS = 256
_PARTS = {"user-prompt": "user", "text": "assistant", "system-prompt": "system"}
"""Who says what, by the kind of the part; a tool says the others."""


class ModelFailed(KodosumiError):
    """A model gave no answer; the text says which, and why."""


class CutOff(Exception):
    """The provider's stream ended before the answer did."""


class RecordedModel(WrapperModel):
    """A model of one turn."""

    def __init__(self, wrapped: Model, work: Work, place: Place, what: agent_pb2.Model) -> None:
        super().__init__(wrapped)
        self._work = work
        self._place = place
        self._what = what
        self._is_offline = wrapped.system == "function"
        self._count = 0

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the answer to messages: from the log, or from the provider."""
        self._count += 1
        name = f"{self._place.name}.llm.{self._count}"
        said = await self._work.tracer.step(name, self._call, name, messages, model_settings, model_request_parameters)
        (response,) = ModelMessagesTypeAdapter.validate_python([said["response"]])
        assert isinstance(response, ModelResponse)
        self._work.purse.spend(response.usage.input_tokens + response.usage.output_tokens, said["cost_micros"])
        return response

    async def _call(
        self,
        span_id: str,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> dict[str, Any]:
        self._work.purse.check()
        trace, place = self._work.trace, self._place
        described = {**models.described(self._what), "offline": self._is_offline}
        trace.begin(
            span_id,
            "provider_call",
            self.wrapped.model_name,
            parent=place.name,
            agent=place.agent,
            task_def=place.task_def,
            prompt=_prompt(messages),
            **described,
        )
        attempt = 1
        while True:
            try:
                async with asyncio.timeout(models.ANSWER_S):
                    response = await self._stream(span_id, messages, settings, parameters)
                break
            except Exception as error:
                pause_s = _pause_s(error, attempt)
                if pause_s is None:
                    trace.end(span_id, error=_why(error), attempts=attempt)
                    raise ModelFailed(f"{self.wrapped.model_name} gave no answer: {_why(error)}") from error
            self._work.tracer.emit("token", json.dumps({"span": span_id, "text": "", "reset": True}))
            await asyncio.sleep(pause_s)
            attempt += 1
        usage = {
            "input_tokens": response.usage.input_tokens,
            "output_tokens": response.usage.output_tokens,
            "cost_micros": 0 if self._is_offline else _cost_micros(response),
        }
        await self._work.tracer.usage(**usage)
        calls = [
            {"tool": part.tool_name, "arguments": part.args_as_json_str()}
            for part in response.parts
            if isinstance(part, ToolCallPart)
        ]
        trace.end(span_id, usage=usage, response=response.text or "", tool_calls=calls, attempts=attempt)
        (dumped,) = ModelMessagesTypeAdapter.dump_python([response], mode="json")
        return {"response": dumped, "cost_micros": usage["cost_micros"]}

    async def _stream(
        self,
        span_id: str,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> ModelResponse:
        words = _Words(self._work, span_id)
        async with self.wrapped.request_stream(messages, settings, parameters) as stream:
            async for event in stream:
                match event:
                    case PartStartEvent(part=TextPart(content=text)) if text:
                        await words.say(text)
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                        await words.say(text)
            words.flush()
            response = stream.get()
        if not self._is_offline and response.finish_reason is None:
            raise CutOff("the answer was cut off")
        return response


class _Words:
    """Sends the pieces of an answer: the first at once, then a few together."""

    def __init__(self, work: Work, span_id: str) -> None:
        self._work = work
        self._span_id = span_id
        self._text = ""
        self._next_at = 0.0

    async def say(self, text: str) -> None:
        self._text += text
        now = asyncio.get_running_loop().time()
        if now >= self._next_at or len(self._text) >= _TOKEN_CHARS:
            self._next_at = now + _TOKEN_S
            self.flush()
            await asyncio.sleep(0)

    def flush(self) -> None:
        if self._text:
            said = {"span": self._span_id, "text": self._text}
            self._work.tracer.emit("token", json.dumps(said, ensure_ascii=False))
            self._text = ""


def _pause_s(error: Exception, attempt: int) -> float | None:
    """Return how long to wait before the next try, or `None` if there is none."""
    if attempt >= TRIES_MAX or isinstance(error, KodosumiError | UserError) or _is_refused(error):
        return None
    if isinstance(error, ModelHTTPError) and error.status_code < 500 and error.status_code not in _AGAIN_STATUSES:
        return None
    asked_s = error.retry_after if isinstance(error, ModelAPIError) else None
    if asked_s is not None:
        return asked_s if 0 <= asked_s <= PAUSE_S_MAX else None
    return float(min(PAUSE_S * 2 ** (attempt - 1), PAUSE_S_MAX))


def _is_refused(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, Refused):
            return True
        error = error.__cause__ or error.__context__
    return False


def _why(error: BaseException) -> str:
    """Return why there was no answer, for people."""
    if _is_refused(error):
        while not isinstance(error, Refused):
            error = error.__cause__ or error.__context__  # type: ignore[assignment]  # it is among them
        return str(error)
    if isinstance(error, TimeoutError):
        return f"it did not answer within {models.ANSWER_S:g} s"
    if isinstance(error, ModelHTTPError):
        return f"status {error.status_code}: {_message(error.body)}"
    return f"{type(error).__name__}: {error}"[:1000]


def _message(body: object) -> str:
    """Return what a provider says in the body of an error."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping) and isinstance(inner.get("message"), str):
            return str(inner["message"])[:500]
    return str(body)[:500]


def _cost_micros(response: ModelResponse) -> int:
    """Return what an answer costs, in millionths of a dollar; 0 where nobody knows."""
    with contextlib.suppress(Exception):  # a price list: what is not in it is free of known cost
        return int(response.cost().total_price * 1_000_000)
    return 0


def _prompt(messages: list[ModelMessage]) -> list[dict[str, str]]:
    """Return what a model is told, as a trace shows it."""
    shown: list[dict[str, str]] = []
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                shown.append({"role": "assistant", "content": f"{part.tool_name}({part.args_as_json_str()})"})
            elif (content := getattr(part, "content", None)) is not None:
                role = _PARTS.get(part.part_kind, "tool")
                shown.append({"role": role, "content": content if isinstance(content, str) else str(content)})
    told = [str(text) for message in messages if (text := getattr(message, "instructions", None))]
    return [*({"role": "system", "content": text} for text in told[-1:]), *shown]
