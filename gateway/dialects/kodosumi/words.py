"""What the kodosumi panel calls the states of an execution."""

from gateway.core.states import Words

WORDS = Words(
    "kodosumi",
    {
        "PENDING": "starting",
        "QUEUED": "starting",
        "STARTING": "starting",
        "RUNNING": "running",
        "RETRYING": "running",
        "PAUSED": "running",
        "AWAITING_INPUT": "awaiting",
        "AWAITING_PAYMENT": "running",
        "STOPPING": "running",
        "SUCCEEDED": "finished",
        "FAILED": "error",
        "CANCELLED": "error",
    },
)
