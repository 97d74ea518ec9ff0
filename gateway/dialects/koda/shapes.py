"""What Koda's bodies look like, for the reference."""

from typing import Any, Literal

import pydantic

from gateway.dialects.koda.bodies import TaskBody
from gateway.dialects.koda.sign_in import LoginBody
from gateway.http.shapes import REPEATABLE, Reference, Shape, json

_AT = pydantic.Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")


class _Model(pydantic.BaseModel):
    pass


class Problem(_Model):
    """What went wrong."""

    code: str
    """Such as `task.not_found`."""
    category: Literal[
        "configuration",
        "permission",
        "policy_denied",
        "dependency_unavailable",
        "timeout",
        "validation",
        "retryable",
        "non_retryable",
        "internal",
    ]
    message: str
    retryable: bool
    user_action: str
    """What may be done about it."""


class RequestProblem(Problem):
    """What is wrong with a request."""

    fields: dict[str, list[str]]
    """What is wrong with each field of the request."""


class Error(_Model):
    """Every error."""

    error: RequestProblem


# -- runtime -----------------------------------------------------------------------------------------------------------


class Check(_Model):
    """One thing that was looked at."""

    ok: bool
    detail: str | None


class Ready(_Model):
    """Whether tasks would run."""

    status: Literal["ready", "not_ready"]
    ready: bool
    accepting_tasks: bool
    version: str
    checks: dict[str, Check]
    reason: str | None


class Live(_Model):
    """The process answers."""

    status: Literal["alive"]
    version: str


# -- agents ------------------------------------------------------------------------------------------------------------


class AgentItem(_Model):
    """An agent in a list."""

    id: str
    name: str
    state: Literal["active", "paused", "draft"]
    model: str | None
    created_at: str = _AT
    updated_at: str = _AT


class Agents(_Model):
    """Agents, newest first."""

    items: list[AgentItem]
    total: int


class AgentModel(_Model):
    """Which model an agent is."""

    provider: str | None
    name: str | None
    effort: str | None


class Skill(_Model):
    """What an agent may use."""

    id: str
    name: str
    version: str | None


class MemoryScope(_Model):
    """What an agent remembers."""

    kind: Literal["agent", "none"]
    key: str | None
    layers: list[str]
    window: int
    """Messages of a session that it is given."""


class Publication(_Model):
    """Whether an agent is ready to be used."""

    published: bool
    version: int
    published_at: str | None
    published_by: str | None


class Concurrency(_Model):
    """How many tasks an agent runs at a time, and what it does now; more wait in the queue."""

    limit: int
    running: int
    queued: int


class Agent(_Model):
    """An agent."""

    id: str
    name: str
    state: Literal["active", "paused", "draft"]
    model: AgentModel
    created_at: str = _AT
    updated_at: str = _AT
    description: str | None
    skills: list[Skill]
    memory_scope: MemoryScope
    publication: Publication
    concurrency: Concurrency


# -- tasks -------------------------------------------------------------------------------------------------------------


class Links(_Model):
    """Where more of a task is."""

    self: str
    trace: str


_STATUS = Literal["queued", "running", "completed", "failed", "retrying", "paused"]


class Task(_Model):
    """A task."""

    id: str
    agent_id: str
    status: _STATUS
    created_at: str = _AT
    updated_at: str = _AT
    metadata: dict[str, Any]
    output: Any
    """A text, or JSON where the agent made an object; null before it is complete."""
    error: Problem | None
    """Why it failed."""
    attempt: int
    max_attempts: int
    cost_usd: float
    started_at: str | None
    completed_at: str | None
    retry_of: str | None
    """The id of the task that this one is another try of."""
    links: Links


class Tasks(_Model):
    """Tasks, newest first."""

    items: list[Task]
    next_cursor: str | None


class _Step(_Model):
    seq: int
    id: str
    parent_id: str | None
    name: str
    at: str = _AT
    duration_ms: int | None
    status: Literal["unspecified", "running", "ok", "error", "lost"]
    agent: str | None
    error: str | None
    redactions: list[str]
    """Paths in which something secret was replaced by `[REDACTED]`."""


class Tokens(_Model):
    """What a model read and wrote."""

    input: int
    output: int


class ProviderCall(_Step):
    """A call of a model."""

    kind: Literal["provider_call"]
    provider: str | None
    model: str | None
    prompt: Any
    """A list of role and content."""
    response: str | None
    tool_calls: list[Any]
    attempts: int
    tokens: Tokens
    cost_usd: float
    latency_ms: int | None
    offline: bool
    """Whether no provider was asked."""


class Command(_Model):
    """A call of a tool, as it was parsed."""

    name: str
    arguments: Any


class ToolCall(_Step):
    """A call of a tool."""

    kind: Literal["tool_call"]
    tool: str
    command: Command
    result: Any
    approval: Any
    """What a human said of it; null if nobody was asked."""


class _Hit(_Step):
    content: Any
    score: float | None
    lexical_rank: int | None
    dense_rank: int | None
    graph_rank: int | None


class MemoryHit(_Hit):
    """Something that was remembered."""

    kind: Literal["memory_hit"]
    memory_id: str | None
    type: str | None
    layer: str | None
    category: str | None


class RetrievalHit(_Hit):
    """Something that was looked up."""

    kind: Literal["retrieval_hit"]
    title: str | None
    source: Any


class AuditEvent(_Step):
    """What concerns security."""

    kind: Literal["audit_event"]
    event: str
    decision: Any
    by: Any


class Redactions(_Model):
    """Where secrets were replaced."""

    count: int
    fields: list[str]


class Trace(_Model):
    """What a task did, in order."""

    task_id: str
    status: _STATUS
    schema_: Literal["trace.v1"] = pydantic.Field(alias="schema")
    completeness: Literal["unspecified", "open", "complete", "partial"]
    """`partial`: steps were lost with the process that ran them."""
    steps: list[ProviderCall | ToolCall | MemoryHit | RetrievalHit | AuditEvent]
    redactions: Redactions
    next_after_seq: int | None
    """Send it as `after_seq` for the steps behind these; null if there are none yet."""


# -- sign-in -----------------------------------------------------------------------------------------------------------


class Operator(_Model):
    """Who is signed in."""

    id: str
    username: str
    email: str
    role: Literal["operator", "user"]


class SessionAuth(_Model):
    """How a session is shown from now on."""

    kind: Literal["session"]
    cookie: str
    expires_at: str = _AT


class Session(_Model):
    """A session."""

    ok: Literal[True]
    operator: Operator
    session_token: str
    auth: SessionAuth


class Ok(_Model):
    """It was done."""

    ok: Literal[True]


class Status(_Model):
    """Somebody is signed in."""

    authenticated: Literal[True]
    operator: Operator


_SUBMITTED = {
    "agent_id": "atlas",
    "query": "Audit the auth service for CSP violations.",
    "metadata": {"source": "operator"},
}
SHAPES = {
    "RuntimeService.GetReady": Shape(answers=(json(Ready),), also={503: (json(Ready | Error),)}),
    "RuntimeService.GetLive": Shape(answers=(json(Live),)),
    "AgentService.ListAgents": Shape(answers=(json(Agents),)),
    "AgentService.GetAgent": Shape(answers=(json(Agent),)),
    "TaskService.SubmitTask": Shape(takes=(json(TaskBody, _SUBMITTED),), answers=(json(Task),), headers=REPEATABLE),
    "TaskService.ListTasks": Shape(answers=(json(Tasks),)),
    "TaskService.GetTask": Shape(answers=(json(Task),)),
    "TaskService.GetTaskTrace": Shape(answers=(json(Trace),)),
    "TaskService.CancelTask": Shape(answers=(json(Task),)),
    "TaskService.PauseTask": Shape(answers=(json(Task),)),
    "TaskService.ResumeTask": Shape(answers=(json(Task),)),
    "TaskService.RetryTask": Shape(answers=(json(Task),), headers=REPEATABLE),
    "SignInService.Login": Shape(takes=(json(LoginBody),), answers=(json(Session),)),
    "SignInService.Logout": Shape(answers=(json(Ok),)),
    "SignInService.GetStatus": Shape(answers=(json(Status),)),
}

REFERENCE = Reference(
    title="Koda runtime API",
    description="""Agents, their tasks and what those did, as Koda's runtime shows them.

Callers send the session of a sign-in as the cookie `koda_operator_session`, as `X-Runtime-Token` or as bearer.  Where
the operator has set them, RUNTIME_LOCAL_UI_TOKEN is taken as `X-Runtime-Token`, and CONTROL_PLANE_API_TOKEN as bearer.
A caller may send 120 requests a minute, unless CONTROL_PLANE_RATE_LIMIT says otherwise.""",
    error=Error,
    shapes=SHAPES,
    errors=(400, 401, 403, 404, 409, 413, 415, 429, 500, 503),
    also_at=("/openapi/control-plane.json",),
)
