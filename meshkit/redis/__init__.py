"""Redis, for replicas: a link that may be slow, gone or hostile, and the bus through it (ADR 28)."""
