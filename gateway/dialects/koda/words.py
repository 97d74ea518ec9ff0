"""What Koda calls the states of a task, which is a job of an agent, and of an agent."""

from gateway.core.states import AGENT_STATES, Words

WORDS = Words(
    "koda",
    {
        "PENDING": "queued",
        "QUEUED": "queued",
        "STARTING": "queued",
        "RUNNING": "running",
        "RETRYING": "retrying",
        "PAUSED": "paused",
        "AWAITING_INPUT": "paused",
        "AWAITING_PAYMENT": "queued",
        "STOPPING": "running",
        "SUCCEEDED": "completed",
        "FAILED": "failed",
        "CANCELLED": "failed",
    },
)
AGENT_WORDS = Words("koda", {"DRAFT": "draft", "ACTIVE": "active", "PAUSED": "paused"}, AGENT_STATES, field="state")
