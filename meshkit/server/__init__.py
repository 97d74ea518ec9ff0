"""A gRPC server (`serving`), and what each has by itself: health, reflection, and what it has counted."""

from meshkit.server.serving import (
    MESSAGE_BYTES_MAX,
    METADATA_BYTES_MAX,
    OPTIONS,
    Register,
    run,
    serve,
    until_signal,
)

__all__ = ["MESSAGE_BYTES_MAX", "METADATA_BYTES_MAX", "OPTIONS", "Register", "run", "serve", "until_signal"]
