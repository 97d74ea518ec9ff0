"""The offline model: deterministic, without a network, for demos, tests and whoever has no key yet.

It says what it is.  What it does follows from what it is asked, by these rules:

- It calls each of its tools that the last prompt names, once, in the order in which they are named: as
  `calculator({"expression": "6*7"})` with the arguments given, or by the name alone, and then the arguments are read
  off the prompt: a text in quotes, an arithmetic expression, a URL, the name of a file, else the prompt itself.
- Where an answer must have a form (the manager of a crew), it fills the form: yes for a choice of yes and no, the
  option that the prompt names first, else the first one; texts say where they come from.
- Else it answers with a text that names its role, repeats what it was asked and lists what its tools returned.

Tokens are counted as pydantic-ai's `FunctionModel` estimates them, so they are the same every time too.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.tools import ToolDefinition

NAME = "offline"
NOTICE = "[offline model] No provider's key is configured, so this answer was made without a language model."
_ECHO_CHARS = 600
_RESULT_CHARS = 2_000
_QUOTED = re.compile(r"[\"“']([^\"”']{1,2000})[\"”']")
_ARITHMETIC = re.compile(r"[\d(][\d\s.+\-*/%()^,]*[\d)]")
_URL = re.compile(r"https?://[^\s\"'<>)]+")
_FILE = re.compile(r"[\w./-]+\.[A-Za-z0-9]{1,8}\b")
_WORDS = re.compile(r"\S+\s*")


def model(name: str = NAME, reason: str = "") -> FunctionModel:
    """Return the model under the name of the one that it stands in for; `reason` is said in its answers."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        calls = list(_calls(messages, info))
        if calls:
            yield {
                number: DeltaToolCall(name=tool, json_args=json.dumps(arguments), tool_call_id=f"call-{turn}-{number}")
                for number, (turn, tool, arguments) in enumerate(calls)
            }
            return
        for piece in _WORDS.findall(_answer(messages, info, reason)):
            yield piece

    return FunctionModel(stream_function=stream, model_name=name)


def _calls(messages: list[ModelMessage], info: AgentInfo) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the turn, the tool and the arguments of the calls to make now."""
    prompt, since = _last_prompt(messages)
    called = {
        part.tool_name
        for message in since
        if isinstance(message, ModelResponse)
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
    turn = sum(isinstance(message, ModelResponse) for message in messages)
    named = [(place, tool) for tool in info.function_tools if (place := _named(prompt, tool.name)) >= 0]
    for _, tool in sorted(named, key=lambda item: item[0]):
        if tool.name not in called:
            yield turn, tool.name, _arguments(prompt, tool)
    if not named or all(tool.name in called for _, tool in named):
        for tool in info.output_tools[:1]:
            yield turn, tool.name, _filled(tool.parameters_json_schema, prompt)


def _last_prompt(messages: list[ModelMessage]) -> tuple[str, list[ModelMessage]]:
    """Return what was asked last, and the messages since."""
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if isinstance(message, ModelRequest):
            for part in reversed(message.parts):  # what was never answered comes ahead of it
                if isinstance(part, UserPromptPart):
                    content = part.content
                    return content if isinstance(content, str) else str(content), messages[number:]
    return "", messages


def _named(prompt: str, tool: str) -> int:
    """Return where a prompt names a tool, or -1; blanks and hyphens count as underscores, and case does not count."""
    pattern = r"[\s_-]".join(map(re.escape, re.split(r"[_-]", tool)))
    found = re.search(rf"(?<!\w){pattern}(?!\w)", prompt, re.IGNORECASE)
    return found.start() if found is not None else -1


def _arguments(prompt: str, tool: ToolDefinition) -> dict[str, Any]:
    given = re.search(rf"(?<!\w){re.escape(tool.name)}\s*\(\s*(?=\{{)", prompt)
    if given is not None:
        try:
            value, _ = json.JSONDecoder().raw_decode(prompt, given.end())
        except ValueError:
            value = None
        if isinstance(value, dict):
            return value
    schema = tool.parameters_json_schema
    properties: dict[str, Any] = schema.get("properties") or {}
    wanted = schema.get("required") or [name for name in properties if properties[name].get("type") == "string"][:1]
    behind = prompt[_named(prompt, tool.name) :]
    return {name: _argument(name, properties.get(name, {}), behind, prompt) for name in wanted}


def _argument(name: str, schema: dict[str, Any], behind: str, prompt: str) -> Any:
    if schema.get("type") not in (None, "string"):
        return _value(schema, prompt)
    patterns = {"expression": _ARITHMETIC, "url": _URL, "endpoint": _URL, "path": _FILE, "file": _FILE, "name": _FILE}
    for text in (behind, prompt):
        if name in patterns and (found := patterns[name].findall(text)):
            return str(max(found, key=len) if name == "expression" else found[0]).strip()
        if found := _QUOTED.findall(text):
            return found[0]
    return prompt[:_ECHO_CHARS]


def _filled(schema: dict[str, Any], prompt: str) -> dict[str, Any]:
    properties: dict[str, Any] = schema.get("properties") or {}
    return {name: _value(inner, prompt) for name, inner in properties.items()}


def _value(schema: dict[str, Any], prompt: str) -> Any:
    if options := schema.get("enum"):
        named = [(place, option) for option in options if (place := prompt.find(str(option))) >= 0]
        return min(named, key=lambda item: item[0])[1] if named else options[0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "array":
            return []
        case "object":
            return _filled(schema, prompt)
    return f"[offline model] {prompt[:200]}"


def _answer(messages: list[ModelMessage], info: AgentInfo, reason: str) -> str:
    prompt, since = _last_prompt(messages)
    role = (info.instructions or "").strip().partition("\n")[0][:200]
    lines = [reason or NOTICE, ""]
    if role:
        lines += [f"My instructions begin: {role}", ""]
    lines.append(f"You asked: {prompt.strip()[:_ECHO_CHARS]}")
    results = [
        f"- {part.tool_name}: {part.model_response_str()[:_RESULT_CHARS]}"
        for message in since
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    ]
    if results:
        lines += ["", "My tools returned:", *results]
    said = sum(isinstance(part, TextPart) for message in messages for part in message.parts)
    if said:
        lines += ["", f"Before that we have spoken {said} times."]
    return "\n".join(lines)
