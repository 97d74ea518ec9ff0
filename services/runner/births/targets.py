"""Agents and crews as targets: what a job of one is born from.

What the target is comes from the registry, once, and is frozen with the job: later changes of an agent do not reach
jobs that were born before.
"""

import dataclasses
import json
import re
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2, definition_pb2, tool_pb2
from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from meshkit import names
from meshkit.errors import FailedPrecondition, Invalid
from meshkit.principal import check_owner
from services.runner.births.births import Order, Plan
from services.runner.births.engine import ENTRY_POINT, EXPOSE
from services.runner.domain import talk
from services.runner.ports.definitions import Definitions
from services.runner.ports.store import ConversationStore

KINDS = ("agents/", "crews/")
"""How the names of targets begin that are no flows."""
ATTEMPTS_MAX = 3
CONCURRENCY = 3
"""Jobs of an agent that run at once, if it does not say."""
PROMPT_CHARS_MAX = 200_000
MODEL_CHARS_MAX = 100
BRIEF_BYTES_MAX = 3 * 1024 * 1024
"""Of a definition, with all that belongs to it."""
_OFFLINE = "offline"
"""The provider that is none (`agentmesh.engine.offline`)."""
_TARGET = re.compile(r"(agents|crews)/[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller says of an agent's or crew's job, beside its inputs."""

    budget: job_pb2.Budget = dataclasses.field(default_factory=job_pb2.Budget)
    external: bool = False
    overrides: job_pb2.Overrides = dataclasses.field(default_factory=job_pb2.Overrides)


def place_of(target: str) -> tuple[str, str]:
    """Return the expose and the path within its app (`/` or `/async`) of a flow; of an agent or crew, nothing and `/`.

    Raises `Invalid`, naming the field, for what is no name of a target.
    """
    if not target.startswith((*KINDS, "flows/")):
        remedy = "must look like flows/{expose}, flows/{expose}/{path}, agents/{id or slug} or crews/{id}"
        raise Invalid(f"target {remedy}", {"target": [f"got {target[:80]!r}"]})
    if target.startswith(KINDS):
        if not _TARGET.fullmatch(target):
            remedy = "must look like agents/{id or slug} or crews/{id}"
            raise Invalid("target is no name of an agent or a crew", {"target": [remedy]})
        return "", "/"
    expose, _, path = names.parse(target, "flows", "target").partition("/")
    return expose, f"/{path.strip('/')}"


class Targets:
    """Resolves agents and crews."""

    def __init__(self, definitions: Definitions, conversations: ConversationStore) -> None:
        self._definitions = definitions
        self._conversations = conversations

    async def plan(self, order: Order, wish: Wish, inputs: dict[str, Any]) -> tuple[Order, host_pb2.Launch]:
        """Return what a job is born from, and its launch without an id.

        Raises `Invalid` for inputs, a budget or overrides that cannot be, `NotFound` for a target that the owner may
        not see, `FailedPrecondition` for a target that cannot be run, `Unavailable` while the registry is away.
        """
        _check_budget(wish.budget)
        definition = await self._definitions.resolve(order.target, order.owner, is_operator=order.is_operator)
        _override(definition, wish.overrides)
        if order.is_sandbox:
            _be_offline(definition)
        is_crew = definition.HasField("crew")
        if not is_crew:
            _check_prompt(inputs)
        brief = host_pb2.Run(definition=definition, budget=wish.budget).SerializeToString()
        if len(brief) > BRIEF_BYTES_MAX:
            raise FailedPrecondition("the target is too large to be handed to a host: shorten its texts")
        plan = Plan(
            brief=brief,
            attempts_max=ATTEMPTS_MAX,
            concurrency_limit=0 if is_crew else definition.agents[0].concurrency_limit or CONCURRENCY,
            external=wish.external,
        )
        launch = host_pb2.Launch(
            path="/",
            entry_point=ENTRY_POINT,
            inputs_json=json.dumps(inputs, ensure_ascii=False, separators=(",", ":")),
            meta_json=_meta_json(definition),
        )
        return dataclasses.replace(order, expose=EXPOSE, target=definition.target, plan=plan), launch

    async def check_conversation(self, name: str) -> None:
        """Raise `NotFound` if a job is to speak in a conversation that its owner may not see."""
        if name.startswith(talk.CONVERSATION):
            conversation = await self._conversations.get(name.removeprefix(talk.CONVERSATION))
            check_owner(conversation.owner, name)


def _override(definition: definition_pb2.Definition, overrides: job_pb2.Overrides) -> None:
    """Let an agent be otherwise for this job.  Raises `Invalid` for what it cannot be."""
    if not overrides.ListFields():
        return
    if definition.HasField("crew"):
        raise Invalid("a crew runs as it is", {"overrides": ["only for agents"]})
    (agent,) = definition.agents
    if len(overrides.model) > MODEL_CHARS_MAX:
        raise Invalid("there is no such model", {"overrides.model": [f"at most {MODEL_CHARS_MAX} characters"]})
    if overrides.model:
        agent.model.model = overrides.model
    if overrides.HasField("memory"):
        agent.memory.enabled = overrides.memory
    if overrides.HasField("tools"):
        wanted = set(overrides.tools.names)
        if unknown := sorted(wanted - set(agent.tools)):
            remedy = f"not of this agent: {', '.join(unknown)[:200]}"
            raise Invalid("the agent does not have these tools", {"overrides.tools": [remedy]})
        agent.tools[:] = [name for name in agent.tools if name in wanted]
        kept = [tool for tool in definition.tools if tool.name in wanted]
        del definition.tools[:]
        definition.tools.extend(kept)


def _be_offline(definition: definition_pb2.Definition) -> None:
    """Let every model of a definition be the offline one, and no key or token be asked for."""
    for agent in definition.agents:
        agent.model.CopyFrom(agent_pb2.Model(provider=_OFFLINE))
        agent.has_api_key = False
    if definition.HasField("crew"):
        definition.crew.ClearField("manager")
        definition.crew.has_manager_api_key = False
    for tool in definition.tools:
        tool.has_auth_token = False
        tool.enabled = tool.enabled and tool.kind == tool_pb2.TOOL_KIND_BUILTIN


def _check_prompt(inputs: dict[str, Any]) -> None:
    prompt = inputs.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip() or len(prompt) > PROMPT_CHARS_MAX:
        remedy = f"a text of 1 to {PROMPT_CHARS_MAX} characters"
        raise Invalid("an agent needs a prompt", {"inputs.prompt": [remedy]})


def _check_budget(budget: job_pb2.Budget) -> None:
    wrong = {
        f"budget.{field.name}": ["must be 0 (no limit) or more"]
        for field, value in budget.ListFields()
        if not 0 <= value < float("inf")
    }
    if wrong:
        raise Invalid("the budget cannot be kept to", wrong)


def _meta_json(definition: definition_pb2.Definition) -> str:
    """Return what people read of the job: what its target is called, and what it is for."""
    what = definition.crew if definition.HasField("crew") else definition.agents[0]
    said = {"summary": what.display_name or None, "description": what.description or None}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
