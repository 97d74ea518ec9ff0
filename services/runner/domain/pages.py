"""How much of jobs and events goes into one page: counted in bytes as they travel, not in items."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from services.runner.domain.records import Event, Job

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""A page is not longer than this, unless its one item is."""
T = TypeVar("T")


def until_full(items: Iterable[T], bytes_of: Callable[[T], int]) -> Iterator[T]:
    """Yield items up to the one that is too much for a page: behind it there may be more."""
    total = 0
    for count, item in enumerate(items):
        total += bytes_of(item)
        yield item
        if count and total > PAGE_BYTES_MAX:
            return


def full(items: list[T], bytes_of: Callable[[T], int]) -> list[T]:
    """Return the items that fit on a page, at least one."""
    total = 0
    for count, item in enumerate(items):
        total += bytes_of(item)
        if count and total > PAGE_BYTES_MAX:
            return items[:count]
    return items


def bytes_of_job(job: Job) -> int:
    """Return how many bytes the long texts of a job take."""
    texts = (job.inputs_json, job.result_json, job.meta_json, job.extra_json, job.error)
    return sum(map(_bytes, texts)) + len(job.inputs_blob)


def bytes_of_event(event: Event) -> int:
    """Return how many bytes the texts of an event take."""
    return _bytes(event.payload) + _bytes(event.detail)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
