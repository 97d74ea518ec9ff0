"""Conversations: records, and what may be written in them."""

import dataclasses

from meshkit.errors import Invalid
from services.runner.domain.records import Role

TITLE_CHARS_MAX = 500
SUMMARY_CHARS_MAX = 2_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a user and agents have said to each other.  Times are seconds since 1970."""

    conversation_id: str
    owner: str
    """`users/{uuid}`."""
    title: str
    summary: str = ""
    active: bool = True
    message_count: int = 0
    job_count: int = 0
    created_at: float
    updated_at: float
    last_message_at: float

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"conversations/{self.conversation_id}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing that was said."""

    conversation_id: str
    number: int
    """From 0, without gaps."""
    role: Role
    content: str
    job_id: str
    created_at: float


def check(title: str, summary: str) -> None:
    """Raise `Invalid`, naming the field, for a title or a summary that cannot be kept."""
    if not title.strip() or len(title) > TITLE_CHARS_MAX:
        raise Invalid("the title is empty or too long", {"title": [f"1 to {TITLE_CHARS_MAX} characters"]})
    if len(summary) > SUMMARY_CHARS_MAX:
        raise Invalid("the summary is too long", {"summary": [f"at most {SUMMARY_CHARS_MAX} characters"]})
