"""What a job may say: events of any kind but those by which the mesh itself tells what became of the job.

A host passes on what its job sends, and a host may be written in any language: so this is decided where a report is
taken in, and nowhere else.  A line that is refused is replaced by one that says so, since the host counts lines.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from services.runner.domain.records import Event

MESH = frozenset(("status", "inputs", "meta", "lock", "lease", "payment", "error", "final"))
"""What only the mesh writes into a log."""
_SYNTHETIC = frozenset(("alive", "eof"))
"""What streams say of themselves."""
_REFUSED = MESH | _SYNTHETIC
_FLOWS = frozenset(
    (
        *("agent", "upload", "debug", "stdout", "stderr", "action", "result"),
        *("progress", "usage", "step", "span", "token", "memory"),
    )
)
"""What flows send by the methods of their tracer: most lines, and known at a glance."""
_KIND_CHARS_MAX = 64
_SHOWN_CHARS_MAX = 40
_BESIDE_A_NAME = re.compile(r"[^a-z_]+")


def taken(events: Iterable[Event]) -> Iterator[Event]:
    """Yield what a job sends as it goes into its log."""
    for event in events:
        yield event if event.kind in _FLOWS or not is_refused(event.kind) else _refusal(event)


def is_refused(kind: str) -> bool:
    """Return whether a kind is no word, is the mesh's own, or would be read as such a one: `Status`, `sta-tus`."""
    if not 0 < len(kind) <= _KIND_CHARS_MAX:
        return True
    # As the most lenient of those who show it reads it: they drop what is not a letter.
    return _BESIDE_A_NAME.sub("", unicodedata.normalize("NFKC", kind).lower()) in _REFUSED


def _refusal(event: Event) -> Event:
    shown = ascii(event.kind[:_SHOWN_CHARS_MAX])
    text = f"an event of kind {shown} was refused: the mesh alone writes such events, choose another kind"
    return Event(kind="stderr", payload=text, time=event.time)
