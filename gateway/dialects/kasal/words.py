"""What Kasal calls the states of an execution, which is a job of a crew."""

from gateway.core.states import Words

WORDS = Words(
    "kasal",
    {
        "PENDING": "queued",
        "QUEUED": "queued",
        "STARTING": "queued",
        "RUNNING": "running",
        "RETRYING": "running",
        "PAUSED": "running",
        "AWAITING_INPUT": "running",
        "AWAITING_PAYMENT": "queued",
        "STOPPING": "running",
        "SUCCEEDED": "completed",
        "FAILED": "failed",
        "CANCELLED": "stopped",
    },
)
