"""What Codex's bodies look like: the models that requests are read by, and those of answers, for its reference.

Limits are the mesh's: the text has none.
"""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, WithJsonSchema

from gateway.dialects.codex import words
from gateway.dialects.codex.errors import PROBLEM
from gateway.dialects.codex.reading import Flag, Guid, Number, Sent, Whole, choice, text
from gateway.http.answers import JSON
from gateway.http.shapes import REPEATABLE, Content, Reference, Shape, json

AgentType: Any = choice(words.AGENT_TYPES)
ProviderType: Any = choice(words.PROVIDER_TYPES)
AgentStatus: Any = choice(words.AGENT_STATUSES)
ExecutionStatus: Any = choice(words.EXECUTION_STATUSES)
FinalStatus: Any = choice(words.EXECUTION_STATUSES, least=words.COMPLETED)
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Name: Any = text(200, least=1)
Short: Any = text(100, least=1)
Long: Any = text(2_000)
SystemPrompt: Any = text(100_000)
UserPrompt: Any = text(200_000, least=1)
Response: Any = text(1_000_000)
_Temperature = Annotated[Number, Field(ge=0, le=2)]
_MaxTokens = Annotated[Whole, Field(ge=1, le=1_000_000)]
_Window = Annotated[Whole, Field(ge=1, le=100)]
_Tokens = Annotated[Whole, Field(ge=0, le=2**53)]

# May be left out, but not null; what a model then has instead is looked at by nobody, and said nowhere.
_TEXT: Any = Field(default_factory=str)
_NUMBER: Any = Field(default_factory=int)
_FLAG: Any = Field(default_factory=bool)

# -- what is sent ------------------------------------------------------------------------------------------------------


class AgentFields(Sent):
    """What may be said of an agent; what is left out has a default in a new one, and stays in another."""

    description: Long | None = None
    model_endpoint: text(2_000) | None = None  # type: ignore[valid-type]
    """Absolute URL of an OpenAI-compatible endpoint; needed for LocalEndpoint."""
    api_key: text(4_000) | None = None  # type: ignore[valid-type]
    """The key for the model's provider.  It is kept encrypted, and never shown."""
    temperature: _Temperature | None = None
    max_tokens: _MaxTokens | None = None
    system_prompt: SystemPrompt | None = None


class NewAgent(AgentFields):
    """For createAgent."""

    name: Name
    type: AgentType | None = None
    """Custom, unless given."""
    model_provider: Short
    """`openai`, `anthropic`, `ollama` …; `offline` is a deterministic model, which also answers where no key is."""
    model_name: Short
    provider_type: ProviderType | None = None
    """CloudApi, unless given."""
    enable_memory: Flag | None = None
    conversation_window_size: _Window | None = None
    """Messages of a conversation that the agent is given; 10 unless given."""


class AgentChange(AgentFields):
    """For updateAgent: what is left out stays as it is, and null clears what may be empty."""

    id: Guid
    name: Name = _TEXT
    type: AgentType = _NUMBER
    model_provider: Short = _TEXT
    model_name: Short = _TEXT
    provider_type: ProviderType = _NUMBER
    enable_memory: Flag = _FLAG
    conversation_window_size: _Window = _NUMBER
    status: AgentStatus = _NUMBER
    """Active or Inactive; deleteAgent makes it Archived."""


class OneId(Sent):
    """Which one."""

    id: Guid


class NewConversation(Sent):
    """For createConversation."""

    title: text(500, least=1)  # type: ignore[valid-type]
    summary: Long | None = None


class NewExecution(Sent):
    """For startAgentExecution."""

    agent_id: Guid
    conversation_id: Guid | None = None
    """The conversation that gets the prompt and the answer as messages."""
    user_prompt: UserPrompt
    external: Flag | None = None
    """Nobody of the mesh runs it: it is Pending until somebody calls completeAgentExecution."""


class Completion(Sent):
    """For completeAgentExecution."""

    execution_id: Guid
    status: FinalStatus
    response: Response | None = None
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    estimated_cost: Annotated[Number, Field(ge=0, le=1_000_000_000)] | None = None
    error_message: Response | None = None
    """Why it failed; `response` says it, if this is left out."""


class Cancellation(Sent):
    """For cancelAgentExecution."""

    execution_id: Guid


class Nothing(Sent):
    """An empty object."""


# -- what is answered --------------------------------------------------------------------------------------------------


class _Shown(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        alias_generator=Sent.model_config["alias_generator"], use_attribute_docstrings=True
    )


class Created(_Shown):
    """What was made."""

    id: Guid


class AgentListItem(_Shown):
    """An agent in a list."""

    id: Guid
    name: str
    description: str
    type: AgentType
    model_provider: str
    model_name: str
    provider_type: ProviderType
    model_endpoint: str | None
    status: AgentStatus
    created_at: Moment
    updated_at: Moment
    tool_count: int
    execution_count: int


class Agent(AgentListItem):
    """An agent."""

    temperature: float | None
    max_tokens: int | None
    system_prompt: str
    enable_memory: bool
    conversation_window_size: int
    has_api_key: bool


class ConversationListItem(_Shown):
    """A conversation in a list."""

    id: Guid
    title: str
    summary: str | None
    started_at: Moment
    last_message_at: Moment
    message_count: int
    is_active: bool
    execution_count: int


class ExecutionListItem(_Shown):
    """An execution in a list."""

    id: Guid
    agent_id: Guid
    agent_name: str
    conversation_id: Guid | None
    user_prompt: str
    """In lists the first 200 characters, and three dots if there are more."""
    status: ExecutionStatus
    started_at: Moment
    completed_at: Moment | None
    input_tokens: int | None
    output_tokens: int | None
    estimated_cost: float | None
    message_count: int
    error_message: str | None


class Execution(ExecutionListItem):
    """An execution."""

    response: str | None
    input: dict[str, Any]
    """What it was started with."""


class Message(_Shown):
    """One thing that was said."""

    id: Guid
    role: Literal["user", "assistant"]
    content: str
    message_index: int
    created_at: Moment
    execution_id: Guid | None


class Conversation(ConversationListItem):
    """A conversation."""

    messages: list[Message]
    executions: list[ExecutionListItem]


class Problem(pydantic.BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = ""
    traceId: str
    errors: dict[str, list[str]] = {}


# -- the reference -----------------------------------------------------------------------------------------------------

_PREFER = {"Prefer": "With `return=representation` the answer is `{id}`; else it is empty."}


def _takes(model: Any, example: Any = None) -> tuple[Content, ...]:
    return (json(model, example),)


def _shows(model: Any) -> tuple[Content, ...]:
    return (json(model),)


SHAPES = {
    "CommandService.CreateAgent": Shape(takes=_takes(NewAgent), answers=(), headers={**_PREFER, **REPEATABLE}),
    "CommandService.UpdateAgent": Shape(takes=_takes(AgentChange), answers=()),
    "CommandService.DeleteAgent": Shape(takes=_takes(OneId), answers=()),
    "CommandService.CreateConversation": Shape(
        takes=_takes(NewConversation), answers=_shows(Created), headers=REPEATABLE
    ),
    "CommandService.StartAgentExecution": Shape(
        takes=_takes(NewExecution), answers=_shows(Created), headers=REPEATABLE
    ),
    "CommandService.CompleteAgentExecution": Shape(takes=_takes(Completion), answers=()),
    "CommandService.CancelAgentExecution": Shape(takes=_takes(Cancellation), answers=()),
    "QueryService.GetHealth": Shape(takes=_takes(Nothing), answers=_shows(bool), may_be_left_out=True),
    "QueryService.GetAgent": Shape(takes=_takes(OneId), answers=_shows(Agent)),
    "QueryService.GetAgentExecution": Shape(takes=_takes(OneId), answers=_shows(Execution)),
    "QueryService.GetConversation": Shape(takes=_takes(OneId), answers=_shows(Conversation)),
    "ListService.ListAgents": Shape(answers=_shows(list[AgentListItem])),
    "ListService.ReadAgent": Shape(answers=_shows(Agent)),
    "ListService.ListAgentConversations": Shape(answers=_shows(list[ConversationListItem])),
    "ListService.ListAgentExecutions": Shape(answers=_shows(list[ExecutionListItem])),
    "ListService.ListConversations": Shape(answers=_shows(list[ConversationListItem])),
    "ListService.ListExecutions": Shape(answers=_shows(list[ExecutionListItem])),
    "ListService.ListExecutionsByStatus": Shape(answers=_shows(list[ExecutionListItem])),
}

REFERENCE = Reference(
    title="Codex API",
    description="Agents, conversations and executions: the Codex API, MVP v1.0.0.\n\n"
    "Every success is 200.  Enums are integers; in requests their names are taken too.  Case does not matter in paths "
    "and in the names of fields.  Lists are the 100 newest; `X-Next-Cursor` is the `cursor` of what follows.  On a "
    "mesh that listens on loopback, programs of the same "
    f"machine need no token.  Errors are `{PROBLEM}`, everything else is `{JSON}`.",
    error=Problem,
    shapes=SHAPES,
    errors=(400, 401, 404, 413, 415, 429, 500, 503, 504),
    also_at=("/swagger/v1/swagger.json",),
)
