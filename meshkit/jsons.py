"""JSON that somebody else wrote: what cannot be read is nothing, or said to be wrong, and never an error of ours."""

import json
from typing import Any

from meshkit.errors import Invalid


def value_of(text: str | bytes) -> Any:
    """Return what a text says; None if it is empty or cannot be read, also because it is nested too deeply."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def object_in(text: str, field: str) -> dict[str, Any]:
    """Return the object that a field holds, an empty one if it is empty.  Raises `Invalid` for anything else."""
    value = value_of(text or "{}")
    if not isinstance(value, dict):
        raise Invalid(f"{field} must be a JSON object", {field: ["must be a JSON object"]})
    return value
