"""How many bytes jobs and events take, on their way and on disk: pages, caches and owners are bounded by them."""

import sys

from services.runner.domain.records import Asked, Birth, Change, Event, Job, Lock, LockEnd

ROW_BYTES = 100
"""Of what is kept beside the texts of a row: a million empty lines are not nothing."""


def bytes_of_job(job: Job) -> int:
    """Return how many bytes the long texts of a job take."""
    return sum(map(bytes_of_text, _texts(job))) + len(job.inputs_blob) + len(job.sealed)


def bytes_of_event(event: Event) -> int:
    """Return how many bytes the texts of an event take."""
    return bytes_of_text(event.kind) + bytes_of_text(event.payload) + bytes_of_text(event.detail) + len(event.sealed)


def bytes_of_lock(lock: Lock) -> int:
    """Return how many bytes a lock takes before it is answered."""
    return ROW_BYTES + bytes_of_text(lock.title) + bytes_of_text(lock.elements_json) + bytes_of_text(lock.data_json)


def bytes_of_asked(asked: Asked) -> int:
    """Return how many bytes a question takes, and its answer, as a job is told of them."""
    return bytes_of_text(asked.title) + bytes_of_text(asked.data_json) + bytes_of_answer(asked)


def bytes_of_answer(of: Asked | LockEnd) -> int:
    """Return how many bytes an answer takes, as a job is told of it."""
    return len(of.sealed) or bytes_of_text(of.result_json)


def held_by_job(job: Job) -> int:
    """Return how many bytes of memory the long texts of a job take: of some four times what they take as UTF-8."""
    return sum(map(sys.getsizeof, (*_texts(job), job.inputs_blob, job.sealed)))


def held_by_event(event: Event) -> int:
    """Return how many bytes of memory an event takes."""
    return ROW_BYTES + sys.getsizeof(event.payload) + sys.getsizeof(event.detail)


def kept_at_birth(birth: Birth) -> int:
    """Return how many bytes a new job takes on disk."""
    return ROW_BYTES + bytes_of_job(birth.job) + _events(birth.events) + len(birth.brief)


def kept(before: Job, change: Change) -> int:
    """Return how many bytes a job takes on disk once a change is written."""
    locks = sum(map(bytes_of_lock, change.opened))
    locks += sum(bytes_of_text(end.result_json) + len(end.sealed) for end in change.ended)
    return before.stored_bytes + _moving(change.job) - _moving(before) + _events(change.events) + locks


def _texts(job: Job) -> tuple[str, ...]:
    return job.inputs_json, job.result_json, job.meta_json, job.extra_json, job.error


def _moving(job: Job) -> int:
    """Return how many bytes those texts of a job take that change."""
    return bytes_of_text(job.result_json) + bytes_of_text(job.error) + len(job.inputs_blob) + len(job.sealed)


def _events(events: tuple[Event, ...]) -> int:
    return sum(bytes_of_event(event) + ROW_BYTES for event in events)


def bytes_of_text(text: str) -> int:
    """Return how many bytes a text takes as UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
