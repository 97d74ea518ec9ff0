"""What can be asked about records."""

import dataclasses
import enum

PAGE = 10
PAGE_MAX = 100

SEARCHED = ("blockchain_identifier", "agent_name", "agent_identifier", "purchaser_identifier", "input_hash")
"""Fields of a deal that a search looks into."""


class Changed(enum.StrEnum):
    """What a diff looks at."""

    EITHER = "either_at"
    ACTION = "action_at"
    STATE = "state_at"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What `GET /payment` and `GET /purchase` narrow to."""

    state: str = ""
    needs_manual_action: bool = False
    key_id: str = ""
    """Whose records; empty for everybody's."""
    search: str = ""
    """In any of `SEARCHED` or the record's id; case does not matter for A to Z."""


def size(limit: int) -> int:
    """Return how many records a page has: 10 if it is not said, 100 at most."""
    return min(max(limit or PAGE, 1), PAGE_MAX)
