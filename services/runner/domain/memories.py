"""What agents remember: what a job may write, and how what was found is ranked."""

import dataclasses
import re
from collections.abc import Iterable, Sequence

from services.runner.domain import readings
from services.runner.domain.records import Event, Job, Layer, Memory

TYPES = ("fact", "event", "preference", "decision", "problem", "relationship", "task", "procedure")
CONTENT_CHARS_MAX = 8_000
CATEGORY_CHARS_MAX = 100
SHORT_MAX = 200
"""Records of the short layer that an agent or crew keeps of an owner; older ones go."""
TERMS_MAX = 40
"""Of a record, and of a query."""
_RANK_OFFSET = 60
_WORD = re.compile(r"[^\W_]{3,64}")
_COMMON_WORDS = (
    "the and for are was were has have had not but with from that this these those into onto about over under than "
    "then there their they them you your our its his her she who what when where which while will would can could "
    "should may might must shall been being does did done just only also very more most some any all each"
)
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A record that was found, and its place in each way of looking; 0 is none."""

    record: Memory
    score: float
    lexical_rank: int = 0
    dense_rank: int = 0
    graph_rank: int = 0


def of_events(job: Job, events: Iterable[Event]) -> tuple[Memory, ...]:
    """Return what events of kind `memory` write: to the memory of the job's own target and owner, and no other.

    What a host says wrongly writes nothing.
    """
    found = []
    for event in events:
        if event.kind == "memory" and (record := _record(job, event)) is not None:
            found.append(record)
    return tuple(found)


def _record(job: Job, event: Event) -> Memory | None:
    if not job.is_defined:
        return None
    try:
        said = readings.parsed(event.payload)
        layer = Layer(said["layer"])
        content = str(said["content"])[:CONTENT_CHARS_MAX].replace("\0", "")
    except (ValueError, KeyError, TypeError):
        return None
    importance = said.get("importance", 0.5)
    if not content.strip():
        return None
    return Memory(
        owner=job.owner,
        scope=job.target,
        layer=layer,
        content=content,
        type=said["type"] if said.get("type") in TYPES else "fact",
        category=str(said.get("category") or "")[:CATEGORY_CHARS_MAX],
        importance=clamped(importance),
        job_id=job.job_id,
        created_at=event.time,
    )


def clamped(importance: object) -> float:
    """Return an importance within 0 and 1; what is no number is 0.5."""
    if isinstance(importance, bool) or not isinstance(importance, int | float) or not readings.is_finite(importance):
        return 0.5
    return min(1.0, max(0.0, float(importance)))


def terms(text: str) -> list[str]:
    """Return the words of a text that tell something, each once, in order."""
    words = (word for word in _WORD.findall(text.lower()) if word not in _COMMON)
    return list(dict.fromkeys(words))[:TERMS_MAX]


def fuse(lexical: Sequence[Memory], dense: Sequence[Memory], graph: Sequence[Memory], limit: int) -> list[Ranked]:
    """Rank what several ways of looking found, by reciprocal rank fusion (Cormack, Clarke, Büttcher 2009)."""
    ways = {"lexical_rank": lexical, "dense_rank": dense, "graph_rank": graph}
    records: dict[int, Memory] = {}
    ranks: dict[int, dict[str, int]] = {}
    for way, found in ways.items():
        for rank, record in enumerate(found, start=1):
            records[record.number] = record
            ranks.setdefault(record.number, {})[way] = rank
    ranked = [
        Ranked(record=records[number], score=sum(1.0 / (_RANK_OFFSET + rank) for rank in places.values()), **places)
        for number, places in ranks.items()
    ]
    # Of two with the same score, the one that holds words of the query: the other only resembles such a one.
    ranked.sort(key=lambda hit: (-hit.score, not hit.lexical_rank, -hit.record.importance, -hit.record.number))
    return ranked[:limit]
