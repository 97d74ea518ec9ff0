"""What is sent with a task."""

from typing import Any, Literal

import pydantic

from gateway.http.answers import dumps

METADATA_BYTES_MAX = 16 * 1024
METADATA_KEYS_MAX = 64
_QUERY_CHARS_MAX = 200_000
_SECONDS_MAX = 7 * 24 * 3600
_USD_MAX = 1_000_000


class Context(pydantic.BaseModel):
    """What is different for one task."""

    model_config = pydantic.ConfigDict(extra="forbid")

    model: str | None = pydantic.Field(default=None, min_length=1, max_length=100)
    """Another model of the agent's provider."""
    session_id: str | None = pydantic.Field(default=None, min_length=1, max_length=64)
    """The conversation that the task belongs to."""
    memory_scope: Literal["agent", "none"] | None = None
    """`agent`: it recalls and remembers; `none`: it does not."""
    skills: list[str] | None = pydantic.Field(default=None, max_length=100)
    """Only these of the agent's skills, by their ids."""
    timeout_seconds: float | None = pydantic.Field(default=None, gt=0, le=_SECONDS_MAX)
    """Of one attempt."""
    max_cost_usd: float | None = pydantic.Field(default=None, gt=0, le=_USD_MAX)

    def as_json(self) -> dict[str, Any]:
        """Return what was given."""
        return self.model_dump(exclude_none=True)


class TaskBody(pydantic.BaseModel):
    """A task to submit."""

    agent_id: str = pydantic.Field(min_length=1, max_length=200)
    """An agent's slug, or its UUID."""
    query: str = pydantic.Field(min_length=1, max_length=_QUERY_CHARS_MAX)
    metadata: dict[str, Any] | None = None
    """Returned as it is: at most 64 keys and 16 KiB."""
    context: Context | None = None
    context_overrides: Context | None = None
    """Another name of `context`."""

    @pydantic.field_validator("metadata")
    @classmethod
    def _small(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        if metadata is None:
            return None
        if len(metadata) > METADATA_KEYS_MAX:
            raise ValueError(f"has {len(metadata)} keys: send at most {METADATA_KEYS_MAX}")
        if len(dumps(metadata).encode()) > METADATA_BYTES_MAX:
            raise ValueError(f"is larger than {METADATA_BYTES_MAX} bytes: send less")
        return metadata

    @pydantic.model_validator(mode="after")
    def _one_context(self) -> "TaskBody":
        if self.context is not None and self.context_overrides is not None:
            raise ValueError("context and context_overrides are one thing: send one of them")
        return self

    @property
    def overrides(self) -> Context:
        """What is different for this task."""
        return self.context or self.context_overrides or Context()
