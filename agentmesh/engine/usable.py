"""What a model may call, whatever it is."""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

BYTES_MAX = 1024 * 1024
"""Of what a tool may answer."""
SHOWN_CHARS = 2_000
"""Of what a tool says is wrong."""


class ToolError(Exception):
    """Why a tool has no result: told to the model, which may try something else."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """One thing that a model may call."""

    name: str
    description: str
    schema: dict[str, Any]
    needs_approval: bool
    call: Callable[[dict[str, Any]], Awaitable[str]]
    """Returns the result, or raises `ToolError`."""
    definition: str = ""
    """`tools/{id}`."""
