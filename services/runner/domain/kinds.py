"""What a job may say: events of any kind but those by which the mesh itself tells what became of the job.

A host passes on what its job sends, and a host may be written in any language: so this is decided where a report is
taken in, and nowhere else.  A line that is refused is replaced by one that says so, since the host counts lines.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Iterator

from services.runner.domain.pages import bytes_of_event, bytes_of_text
from services.runner.domain.records import End, Event
from services.runner.domain.states import Reason, State

MESH = frozenset(("status", "inputs", "meta", "lock", "lease", "payment", "step", "error", "final"))
"""What only the mesh writes into a log."""
_SYNTHETIC = frozenset(("alive", "eof"))
"""What streams say of themselves."""
_REFUSED = MESH | _SYNTHETIC
_FLOWS = frozenset(
    (
        *("agent", "upload", "debug", "stdout", "stderr", "action", "result"),
        *("progress", "usage", "span", "token", "memory"),
    )
)
"""What flows send by the methods of their tracer: most lines, and known at a glance."""
PAYLOAD_BYTES_MAX = 4 * 1024 * 1024
"""Of an event, a result, a lock's form.  (A host of ours says so itself, and to the flow.)"""
_MARGIN_BYTES = 128 * 1024
RESULT_BYTES_MAX = PAYLOAD_BYTES_MAX + _MARGIN_BYTES
"""Of an event or a result: what is larger is refused."""
_ERROR_CHARS_MAX = 64 * 1024
_KIND_CHARS_MAX = 64
_SHOWN_CHARS_MAX = 40
_BESIDE_A_NAME = re.compile(r"[^a-z_]+")


def taken(events: Iterable[Event]) -> Iterator[Event]:
    """Yield what a job sends as it goes into its log."""
    for event in events:
        if event.kind not in _FLOWS and is_refused(event.kind):
            shown = ascii(event.kind[:_SHOWN_CHARS_MAX])
            why = f"of kind {shown} was refused: the mesh alone writes such events, choose another kind"
            yield _refusal(event, why)
        elif (size := bytes_of_event(event)) > RESULT_BYTES_MAX:
            yield _refusal(event, f"of {size} bytes was refused: keep it under 4 MiB, or link to it")
        else:
            yield event


def taken_outcome(outcome: End) -> End:
    """Return how a job ends that a host says how it ends: what is too large to be kept is no result."""
    if (size := bytes_of_text(outcome.result_json)) > RESULT_BYTES_MAX:
        error = f"a result of {size} bytes was refused: keep it under 4 MiB, or link to it"
        return End(state=State.FAILED, reason=Reason.ERROR, error=error)
    if max(len(outcome.error), len(outcome.detail)) <= _ERROR_CHARS_MAX:
        return outcome
    return dataclasses.replace(
        outcome, error=outcome.error[:_ERROR_CHARS_MAX], detail=outcome.detail[-_ERROR_CHARS_MAX:]
    )


def is_refused(kind: str) -> bool:
    """Return whether a kind is no word, is the mesh's own, or would be read as such a one: `Status`, `sta-tus`."""
    if not 0 < len(kind) <= _KIND_CHARS_MAX:
        return True
    # As the most lenient of those who show it reads it: they drop what is not a letter.
    return _BESIDE_A_NAME.sub("", unicodedata.normalize("NFKC", kind).lower()) in _REFUSED


def _refusal(event: Event, why: str) -> Event:
    return Event(kind="stderr", payload=f"an event {why}", time=event.time)
