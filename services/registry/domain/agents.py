"""Agents: what a model is told to be, which model it is, and what it may use.

An agent with a model can be run.  Without one it is a DRAFT, and becomes ACTIVE with its first one; whoever halts it
makes it PAUSED.  An archived one keeps everything, its key too, so that it can be brought back.
"""

import dataclasses
import datetime
import enum
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from meshkit.errors import AlreadyExists, FailedPrecondition, Invalid
from services.registry.domain import slugs
from services.registry.domain.checks import Checks
from services.registry.domain.records import ARCHIVED, Draft, Kind, Record, check_etag

NAME_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 2_000
ROLE_CHARS_MAX = 1_000
GOAL_CHARS_MAX = 10_000
BACKSTORY_CHARS_MAX = 20_000
PROMPT_CHARS_MAX = 100_000
MODEL_CHARS_MAX = 100
ENDPOINT_CHARS_MAX = 2_000
TOKENS_MAX = 1_000_000
WINDOW_MAX = 100
TOOLS_MAX = 64
CONCURRENCY_MAX = 1_000
SECRET_CHARS_MAX = 4_096
API_KEY = "api_key"
"""The field that holds its secret."""


class AgentState(enum.Enum):
    """Where an agent stands."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    ARCHIVED = "ARCHIVED"


class AgentType(enum.Enum):
    """What an agent is for."""

    CODE_GENERATOR = "CODE_GENERATOR"
    CODE_REVIEWER = "CODE_REVIEWER"
    DATA_ANALYST = "DATA_ANALYST"
    RESEARCHER = "RESEARCHER"
    CUSTOM = "CUSTOM"


class ProviderKind(enum.Enum):
    """Where a model is reached."""

    CLOUD_API = "CLOUD_API"
    LOCAL_ENDPOINT = "LOCAL_ENDPOINT"
    CUSTOM = "CUSTOM"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A language model."""

    provider: str
    model: str = ""
    """Empty: the provider's default."""
    kind: ProviderKind = ProviderKind.CLOUD_API
    endpoint: str = ""
    temperature: float | None = None
    max_tokens: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What an agent remembers."""

    enabled: bool = False
    window: int = 0
    """Messages; 0 is the engine's default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentDraft(Draft):
    """What somebody writes of an agent."""

    slug: str = ""
    display_name: str
    description: str = ""
    type: AgentType = AgentType.CUSTOM
    role: str = ""
    goal: str = ""
    backstory: str = ""
    system_prompt: str = ""
    model: Model | None = None
    memory: Memory | None = None
    tools: tuple[str, ...] = ()
    """Ids of tools, of which a built-in's is its own name."""
    state: AgentState | None = None
    """None: what follows from the rest."""
    concurrency_limit: int = 0
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether it can be run, if nobody has halted it."""
        return self.model is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agent(Record, AgentDraft):
    """An agent as it is kept."""

    kind: ClassVar[Kind] = Kind.AGENTS
    word: ClassVar[str] = "agent"

    state: AgentState
    has_api_key: bool = False

    @property
    def handle(self) -> str:
        """Its slug."""
        return self.slug

    @property
    def standing(self) -> str:
        """Its state."""
        return self.state.name


def create(
    draft: AgentDraft,
    *,
    agent_id: str,
    owner: str,
    has_key: bool,
    is_free: Callable[[str], bool],
    now: datetime.datetime,
    prefix: str = "agent",
) -> Agent:
    """Return a new agent; raise `Invalid` with the fields, named behind `prefix`, for what cannot be kept.

    Without a slug it gets one of its display name for which `is_free` holds.
    """
    check(draft, prefix)
    if draft.state is AgentState.ARCHIVED:
        raise _unreachable(prefix)
    if draft.state is AgentState.ACTIVE and not draft.is_complete:
        raise _incomplete(f"{prefix}.state")
    slug = draft.slug
    if not slug:
        wanted = slugs.slug_of(draft.display_name, "agent")
        slug = next(one for one in slugs.candidates(wanted, agent_id) if is_free(one))
    values = {**_values(draft), "slug": slug, "state": draft.state or _state(draft)}
    return Agent(**values, id=agent_id, owner=owner, has_api_key=has_key, created_at=now, updated_at=now)


def update(
    stored: Agent, wanted: AgentDraft, *, etag: str, state_named: bool, has_key: bool, now: datetime.datetime
) -> Agent:
    """Return an agent after a change.

    `state_named` says whether the caller set the state, which else follows from the rest.  Raises `Invalid` with the
    fields, `Conflict` if `etag` is old, `FailedPrecondition` for an archived agent, and for a state it cannot have.
    """
    check_etag(stored, etag)
    if stored.deleted_at is not None:
        raise FailedPrecondition(f"{stored.name} is archived: undelete it first", resource=stored.name)
    check(wanted, "agent")
    if not wanted.slug:
        raise Invalid("an agent keeps a slug", {"agent.slug": ["must not be empty"]})
    if wanted.state is AgentState.ARCHIVED:
        raise _unreachable("agent")
    if not state_named:
        state = _following(stored, wanted)
    else:
        state = wanted.state or _state(wanted)
        if state is AgentState.ACTIVE and not wanted.is_complete:
            raise FailedPrecondition(
                f"{stored.name} has no model: give it one, then it can be ACTIVE", resource=stored.name
            )
    values = {**_values(wanted), "state": state, "has_api_key": has_key}
    return dataclasses.replace(stored, **values, version=stored.version + 1, updated_at=now)


def archive(stored: Agent, now: datetime.datetime) -> Agent:
    """Return an agent that is archived."""
    return dataclasses.replace(
        stored, state=AgentState.ARCHIVED, version=stored.version + 1, updated_at=now, deleted_at=now
    )


def restore(stored: Agent, now: datetime.datetime) -> Agent:
    """Return an archived agent that is back, PAUSED; raise `AlreadyExists` if it is not archived (AIP-164)."""
    if stored.standing != ARCHIVED:
        raise AlreadyExists(f"{stored.name} is not archived", resource=stored.name)
    return dataclasses.replace(
        stored, state=AgentState.PAUSED, version=stored.version + 1, updated_at=now, deleted_at=None
    )


def check(draft: AgentDraft, prefix: str) -> None:
    """Raise `Invalid` with all that is wrong with what somebody wrote."""
    checks = Checks(prefix)
    if draft.slug:
        checks.pattern("slug", draft.slug, slugs.PATTERN)
        if slugs.is_id(draft.slug):
            checks.refuse("slug", "must not look like an id")
    checks.text("display_name", draft.display_name, chars_min=1, chars_max=NAME_CHARS_MAX, lines=False)
    checks.text("description", draft.description, chars_max=DESCRIPTION_CHARS_MAX)
    checks.text("role", draft.role, chars_max=ROLE_CHARS_MAX)
    checks.text("goal", draft.goal, chars_max=GOAL_CHARS_MAX)
    checks.text("backstory", draft.backstory, chars_max=BACKSTORY_CHARS_MAX)
    checks.text("system_prompt", draft.system_prompt, chars_max=PROMPT_CHARS_MAX)
    check_model(checks, "model", draft.model)
    if draft.memory is not None:
        checks.number("memory.window", draft.memory.window, 0, WINDOW_MAX)
    checks.several("tools", draft.tools, TOOLS_MAX)
    checks.number("concurrency_limit", draft.concurrency_limit, 0, CONCURRENCY_MAX)
    checks.labels(draft.labels)
    checks.done("the agent")


def check_model(checks: Checks, field: str, model: Model | None) -> None:
    """Note all that is wrong with a model; with none, nothing is."""
    if model is None:
        return
    checks.text(f"{field}.provider", model.provider, chars_min=1, chars_max=MODEL_CHARS_MAX, lines=False)
    checks.text(f"{field}.model", model.model, chars_max=MODEL_CHARS_MAX, lines=False)
    checks.number(f"{field}.temperature", model.temperature, 0, 2)
    checks.number(f"{field}.max_tokens", model.max_tokens, 1, TOKENS_MAX)
    if model.endpoint and not _is_absolute(model.endpoint):
        checks.refuse(f"{field}.endpoint", "must be an absolute http or https URL, such as http://127.0.0.1:11434/v1")
    elif model.kind is ProviderKind.LOCAL_ENDPOINT and not model.endpoint:
        checks.refuse(f"{field}.endpoint", "is needed for LOCAL_ENDPOINT")


def _is_absolute(url: str) -> bool:
    if len(url) > ENDPOINT_CHARS_MAX or any(not "!" <= character <= "~" for character in url):
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        return False


def _values(draft: AgentDraft) -> dict[str, Any]:
    return {field.name: getattr(draft, field.name) for field in dataclasses.fields(AgentDraft)}


def _state(draft: AgentDraft) -> AgentState:
    return AgentState.ACTIVE if draft.is_complete else AgentState.DRAFT


def _following(stored: Agent, wanted: AgentDraft) -> AgentState:
    """Return the state after a change that does not name it."""
    if not wanted.is_complete:
        return AgentState.DRAFT
    if stored.state is AgentState.DRAFT and not stored.is_complete:
        return AgentState.ACTIVE
    return stored.state


def _incomplete(field: str) -> Invalid:
    return Invalid("an agent without a model cannot be ACTIVE", {field: ["give it a model, or leave the state out"]})


def _unreachable(prefix: str) -> Invalid:
    return Invalid("an agent is archived by deleting it", {f"{prefix}.state": ["cannot be set to ARCHIVED"]})
