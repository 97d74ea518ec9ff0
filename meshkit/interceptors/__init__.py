"""What happens around every RPC: interceptors, and what they are made of (`around`).

Here is what every server has; beside it, how long a call may last (`deadlines`), how many streams a caller has
(`streams`) and until when (`held`), and what is told of them (`tracing`).
"""

from meshkit.interceptors.around import (
    AroundInterceptor,
    Context,
    Errors,
    Keyed,
    Logging,
    Readable,
    behavior_of,
    is_awaited,
    is_stream,
    with_behavior,
)

__all__ = [
    "AroundInterceptor",
    "Context",
    "Errors",
    "Keyed",
    "Logging",
    "Readable",
    "behavior_of",
    "is_awaited",
    "is_stream",
    "with_behavior",
]
