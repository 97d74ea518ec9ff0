"""Codex's enums: integers on the wire, with names that are taken too."""

from agentmesh_protos.registry.v1 import agent_pb2

from gateway.core.states import Words
from meshkit.errors import Invalid

WORDS = Words(
    "codex",
    {
        "PENDING": "Pending",
        "QUEUED": "Pending",
        "STARTING": "Pending",
        "RUNNING": "Running",
        "RETRYING": "Running",
        "PAUSED": "Running",
        "AWAITING_INPUT": "Running",
        "AWAITING_PAYMENT": "Pending",
        "STOPPING": "Running",
        "SUCCEEDED": "Completed",
        "FAILED": "Failed",
        "CANCELLED": "Cancelled",
    },
)

AGENT_TYPES = ("CodeGenerator", "CodeReviewer", "DataAnalyst", "Researcher", "Custom")
PROVIDER_TYPES = ("CloudApi", "LocalEndpoint", "Custom")
AGENT_STATUSES = ("Active", "Inactive", "Archived")
EXECUTION_STATUSES = ("Pending", "Running", "Completed", "Failed", "Cancelled")
ACTIVE, INACTIVE, ARCHIVED = range(3)
COMPLETED, FAILED, CANCELLED = 2, 3, 4

_STATUS_OF_AGENT = {
    agent_pb2.AGENT_STATE_DRAFT: INACTIVE,
    agent_pb2.AGENT_STATE_ACTIVE: ACTIVE,
    agent_pb2.AGENT_STATE_PAUSED: INACTIVE,
    agent_pb2.AGENT_STATE_ARCHIVED: ARCHIVED,
}


def number(value: object, names: tuple[str, ...]) -> int:
    """Return the number of an enum's member, said as a number or a name; raise `ValueError` for what is none."""
    if isinstance(value, str):
        text = value.strip().lower()
        found = {name.lower(): at for at, name in enumerate(names)} | {str(at): at for at in range(len(names))}
        if text in found:
            return found[text]
    elif isinstance(value, int | float) and not isinstance(value, bool) and value in range(len(names)):
        return int(value)
    known = ", ".join(f"{at} ({name})" for at, name in enumerate(names))
    raise ValueError(f"must be one of {known}")


def states(status: str) -> frozenset[int]:
    """Return the `JobState`s that are shown as a status, which is said as a name or a number.  Raises `Invalid`."""
    try:
        return WORDS.states(EXECUTION_STATUSES[number(status, EXECUTION_STATUSES)])
    except ValueError as error:
        raise Invalid(f"there is no status {status[:80]!r}", {"status": [str(error)]}) from None


def execution_status(state: int) -> int:
    """Return the number for a `JobState`."""
    return EXECUTION_STATUSES.index(WORDS.word(state))


def agent_status(state: int) -> int:
    """Return the number for an `AgentState`."""
    return _STATUS_OF_AGENT[state]  # type: ignore[index]


def agent_type(stored: int) -> int:
    """Return the number for an `AgentType`, whose order is Codex's."""
    return (stored or agent_pb2.AGENT_TYPE_CUSTOM) - 1


def provider_type(stored: int) -> int:
    """Return the number for a `ProviderKind`, whose order is Codex's."""
    return (stored or agent_pb2.PROVIDER_KIND_CLOUD_API) - 1
