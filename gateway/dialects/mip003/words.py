"""What MIP-003 calls the states of a job."""

from gateway.core.states import Words

WORDS = Words(
    "mip003",
    {
        "PENDING": "running",
        "QUEUED": "running",
        "STARTING": "running",
        "RUNNING": "running",
        "RETRYING": "running",
        "PAUSED": "running",
        "AWAITING_INPUT": "awaiting_input",
        "AWAITING_PAYMENT": "awaiting_payment",
        "STOPPING": "running",
        "SUCCEEDED": "completed",
        "FAILED": "failed",
        "CANCELLED": "failed",
    },
)
