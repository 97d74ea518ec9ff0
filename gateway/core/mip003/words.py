"""What MIP-003 calls the states of a job, for the dialects that speak it."""

COLUMN = {
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
}
