"""The states of a job in the words of every dialect, and back: one table.

Source: the seeds' status words, laid out in one table (canonical state per row, dialect per column).  Every state has a
word in every dialect.  Back, a word names the set of states that are shown as it; the sets of a dialect's words
cover each state exactly once, so a filter by word neither misses a job nor shows it twice.
"""

from collections.abc import Mapping

from mesh.runner.v1 import job_pb2

from meshkit.errors import Invalid

PENDING = job_pb2.JOB_STATE_PENDING
QUEUED = job_pb2.JOB_STATE_QUEUED
STARTING = job_pb2.JOB_STATE_STARTING
RUNNING = job_pb2.JOB_STATE_RUNNING
RETRYING = job_pb2.JOB_STATE_RETRYING
PAUSED = job_pb2.JOB_STATE_PAUSED
AWAITING_INPUT = job_pb2.JOB_STATE_AWAITING_INPUT
AWAITING_PAYMENT = job_pb2.JOB_STATE_AWAITING_PAYMENT
STOPPING = job_pb2.JOB_STATE_STOPPING
SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
FAILED = job_pb2.JOB_STATE_FAILED
CANCELLED = job_pb2.JOB_STATE_CANCELLED

TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})

_COLUMNS = ("codex", "kasal", "koda", "kodosumi", "sumi")
_TABLE: dict[int, tuple[str, str, str, str, str]] = {
    # state            codex        kasal        koda         kodosumi    sumi (MIP-003)
    PENDING: ("Pending", "queued", "queued", "starting", "running"),
    QUEUED: ("Pending", "queued", "queued", "starting", "running"),
    STARTING: ("Pending", "queued", "queued", "starting", "running"),
    RUNNING: ("Running", "running", "running", "running", "running"),
    RETRYING: ("Running", "running", "retrying", "running", "running"),
    PAUSED: ("Running", "running", "paused", "running", "running"),
    AWAITING_INPUT: ("Running", "running", "paused", "awaiting", "awaiting_input"),
    AWAITING_PAYMENT: ("Pending", "queued", "queued", "running", "awaiting_payment"),
    STOPPING: ("Running", "running", "running", "running", "running"),
    SUCCEEDED: ("Completed", "completed", "completed", "finished", "completed"),
    FAILED: ("Failed", "failed", "failed", "error", "failed"),
    CANCELLED: ("Cancelled", "stopped", "failed", "error", "failed"),
}


class Dialect:
    """One column of the table, read in both directions."""

    def __init__(self, name: str, words: Mapping[int, str]) -> None:
        """`words` has a word for every state."""
        self.name = name
        self._words = dict(words)
        self._states: dict[str, frozenset[int]] = {
            word: frozenset(state for state, other in words.items() if other == word) for word in words.values()
        }

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of the dialect, in the table's order."""
        return tuple(self._states)

    def word(self, state: int) -> str:
        """Return the word for a `JobState`; `KeyError` for JOB_STATE_UNSPECIFIED, which is never stored."""
        return self._words[state]

    def states(self, word: str) -> frozenset[int]:
        """Return the states that are shown as `word`.  Raises `Invalid`, naming `status`, for any other word."""
        try:
            return self._states[word]
        except KeyError:
            remedy = f"must be one of {', '.join(self.words)}"
            raise Invalid(f"{self.name} has no status {word[:80]!r}", {"status": [remedy]}) from None

    def of_event(self, payload: str) -> str:
        """Return the word for a status event's payload (`queued`); an unknown payload, of a newer runner, as it is."""
        state = _BY_NAME.get(payload)
        return payload if state is None else self._words[state]


_BY_NAME = {job_pb2.JobState.Name(state).removeprefix("JOB_STATE_").lower(): state for state in _TABLE}  # type: ignore[arg-type]


def _column(name: str) -> Dialect:
    index = _COLUMNS.index(name)
    return Dialect(name, {state: row[index] for state, row in _TABLE.items()})


CODEX = _column("codex")
KASAL = _column("kasal")
KODA = _column("koda")
KODOSUMI = _column("kodosumi")
SUMI = _column("sumi")


def from_name(payload: str) -> int:
    """Return the `JobState` of a status event's payload, such as `queued`.  Raises `KeyError` for any other text."""
    return _BY_NAME[payload]
