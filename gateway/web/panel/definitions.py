"""Definitions as forms have them: what was sent, and what is wrong with it, beside the field that it is about."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2, tool_pb2

from gateway.web.panel.models import OFFLINE
from meshkit.errors import AlreadyExists, Conflict, FailedPrecondition, Invalid, MeshError, NotFound, from_rpc

REFUSALS = (Invalid, AlreadyExists, Conflict, FailedPrecondition)
_AGENT_TEXTS = ("display_name", "description", "role", "goal", "backstory", "system_prompt")
AGENT_PATHS = (
    *(*_AGENT_TEXTS, "model.provider", "model.model", "model.endpoint", "model.max_tokens", "model.temperature"),
    *("memory.enabled", "memory.window", "tools", "concurrency_limit"),
)
CREW_PATHS = ("display_name", "description", "process", "agents", "memory", "concurrency_limit")
TASK_PATHS = ("display_name", "description", "expected_output", "agent", "depends_on", "tools")
_TOOL_TEXTS = ("display_name", "description", "endpoint")
TOOL_PATHS = (*_TOOL_TEXTS, "kind", "auth", "input_schema_json", "needs_approval", "enabled")
_SHOWN = {*AGENT_PATHS, "api_key", *CREW_PATHS, "manager.provider", "manager.model", "manager_api_key", *TASK_PATHS}
_SHOWN |= {*TOOL_PATHS, "auth_token"}
_TOOL_KINDS = {"http": tool_pb2.TOOL_KIND_HTTP, "mcp": tool_pb2.TOOL_KIND_MCP}
_TOOL_AUTHS = {
    "bearer": tool_pb2.TOOL_AUTH_BEARER,
    "api_key": tool_pb2.TOOL_AUTH_API_KEY,
    "basic": tool_pb2.TOOL_AUTH_BASIC,
}
_CHANGED = "Somebody else has changed it meanwhile. Copy what you need, and open this page again."
_LOOK = "It cannot be kept like this: what is marked below says why."
_NUMBERS = ("window", "concurrency_limit", "max_tokens", "temperature")
_FIELDS = {"window": "memory.window", "max_tokens": "model.max_tokens", "temperature": "model.temperature"}
_DECIMAL = re.compile(r"(\d{1,7}\.?\d{0,25}|\.\d{1,25})(e-\d{1,2})?", re.ASCII | re.IGNORECASE)
_INDEX = re.compile(r"\[\d+\].*")


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """As `from_rpc`, around a call that keeps a form: what one of its fields names and is no longer there is `Invalid`.

    What the form itself is about stays `NotFound`.
    """
    try:
        with from_rpc():
            yield
    except NotFound as error:
        if "field" not in error.metadata:
            raise
        raise Invalid(str(error), {error.metadata["field"]: ["one of these has been deleted: leave it out"]}) from error


def faults_of(error: MeshError | None) -> dict[str, Any]:
    """Return for a page what is wrong: `faults`, texts by the field they are about, and `problems` with the rest."""
    if error is None:
        return {"faults": {}, "problems": []}
    if isinstance(error, Conflict):
        return {"faults": {}, "problems": [_CHANGED]}
    if not isinstance(error, Invalid) or not error.fields:
        return {"faults": {}, "problems": [str(error)]}
    faults: dict[str, list[str]] = {}
    rest: list[str] = []
    for name, texts in error.fields.items():
        field = _INDEX.sub("", name.partition(".")[2])
        said = [f"{text[:1].upper()}{text[1:]}." for text in texts]
        if field in _SHOWN:
            faults.setdefault(field, []).extend(said)
        else:
            rest += [f"{field.replace('_', ' ').replace('.', ' ').capitalize() or name}: {text}" for text in texts]
    return {"faults": faults, "problems": [_LOOK, *rest] if faults else rest}


def check_numbers(form: Mapping[str, str]) -> None:
    """Raise `Invalid` if a field of a form that wants a number has something else."""
    wrong = {}
    for name in _NUMBERS:
        number = _number(form, name)
        if form.get(name, "").strip() and (number is None or (name != "temperature" and number != int(number))):
            wrong[f"form.{_FIELDS.get(name, name)}"] = [
                "must be a number" if name == "temperature" else "must be a whole number"
            ]
    if wrong:
        raise Invalid("not a number", wrong)


def agent_of(form: Mapping[str, str]) -> agent_pb2.Agent:
    """Return the agent that a form describes."""
    model = agent_pb2.Model(
        provider=form.get("provider", "").strip(),
        model=form.get("model", "").strip(),
        endpoint=form.get("endpoint", "").strip(),
    )
    if model == agent_pb2.Model() and not form.get("api_key"):
        model.provider = OFFLINE  # it can be run, which an agent without a model cannot
    for name in ("max_tokens", "temperature"):
        if (number := _number(form, name)) is not None:
            setattr(model, name, number if name == "temperature" else int(number))
    agent = agent_pb2.Agent(
        model=model,
        memory=agent_pb2.AgentMemory(enabled="memory" in form, window=int(_number(form, "window") or 0)),
        concurrency_limit=int(_number(form, "concurrency_limit") or 0),
        tools=_chosen(form, "use:"),
        api_key=form.get("api_key", ""),
    )
    for name in _AGENT_TEXTS:
        setattr(agent, name, _text(form, name))
    return agent


def crew_of(form: Mapping[str, str]) -> tuple[crew_pb2.Crew, list[str]]:
    """Return the crew that a form describes, and which of its fields the form has."""
    crew = crew_pb2.Crew(
        display_name=_text(form, "display_name"),
        description=_text(form, "description"),
        process=crew_pb2.PROCESS_HIERARCHICAL if form.get("process") == "hierarchical" else crew_pb2.PROCESS_SEQUENTIAL,
        agents=_chosen(form, "member:"),
        memory="memory" in form,
        concurrency_limit=int(_number(form, "concurrency_limit") or 0),
        manager_api_key=form.get("manager_api_key", ""),
    )
    paths = [*CREW_PATHS, *(["manager_api_key"] if crew.manager_api_key else [])]
    provider, model = form.get("manager_provider", "").strip(), form.get("manager_model", "").strip()
    if not provider and not model:
        return crew, [*paths, "manager"]  # there is none: that of its first agent
    crew.manager.CopyFrom(agent_pb2.Model(provider=provider, model=model))
    return crew, [*paths, "manager.provider", "manager.model"]


def task_of(form: Mapping[str, str]) -> crew_pb2.TaskDef:
    """Return the task definition that a form describes."""
    return crew_pb2.TaskDef(
        display_name=_text(form, "display_name"),
        description=_text(form, "description"),
        expected_output=_text(form, "expected_output"),
        agent=form.get("agent", ""),
        depends_on=_chosen(form, "behind:"),
        tools=_chosen(form, "use:"),
    )


def tool_of(form: Mapping[str, str]) -> tool_pb2.Tool:
    """Return the tool that a form describes."""
    tool = tool_pb2.Tool(
        kind=_TOOL_KINDS.get(form.get("kind", ""), tool_pb2.TOOL_KIND_UNSPECIFIED),
        auth=_TOOL_AUTHS.get(form.get("auth", ""), tool_pb2.TOOL_AUTH_UNSPECIFIED),
        auth_token=form.get("auth_token", ""),
        input_schema_json=_text(form, "input_schema_json").strip(),
        needs_approval="needs_approval" in form,
        enabled="enabled" in form,
    )
    for name in _TOOL_TEXTS:
        setattr(tool, name, _text(form, name).strip())
    return tool


def _number(form: Mapping[str, str], name: str) -> float | None:
    """Return a number of a form, None for what is none, or none that the API could be told."""
    text = form.get(name, "").strip()
    return float(text) if _DECIMAL.fullmatch(text) else None


def _text(form: Mapping[str, str], name: str) -> str:
    return form.get(name, "").replace("\r\n", "\n")


def _chosen(form: Mapping[str, str], prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in form if name.startswith(prefix)]
