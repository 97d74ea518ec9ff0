"""Pages (AIP-158): sizes are coerced, tokens are opaque and only good for the filter they were made with.

`page` is the answering side of every List, `walk` the asking side of all of them.  A page is counted in bytes, too: it
is shorter rather than refused.
"""

import base64
import binascii
import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from google.protobuf.message import Message

from meshkit.errors import Invalid, from_rpc

DEFAULT = 50
MAX = 1000
PAGE_BYTES_MAX = 4 * 1024 * 1024
"""A page is not longer than this, unless its one item is."""
_TOKEN_CHARS_MAX = 4096
T = TypeVar("T")


class ListRequest(Protocol):
    """What every List request has."""

    page_size: int
    page_token: str


class Page(NamedTuple, Generic[T]):
    """Some of the items, in order."""

    items: list[T]
    next_token: str
    """Where the next page begins; empty on the last."""


async def page(
    request: ListRequest,
    fetch: Callable[[str, int], Awaitable[Sequence[T]]],
    key: Callable[[T], str],
    *filters: str,
) -> Page[T]:
    """Answer a List.

    `fetch` returns the first items behind a key (empty: from the start), at most as many as it is told, or fewer: up to
    the one that is too much for a page (`until_full`).  `key` names an item in that order.  `filters` is everything
    that the choice of items depends on.  Raises `Invalid` for a bad size or token.
    """
    limit = size(request.page_size)
    found = await fetch(decode(request.page_token, *filters), limit + 1)  # one more says whether there is a next page
    items = full(found[:limit])
    return Page(items, encode(key(items[-1]), *filters) if len(found) > len(items) else "")


def weight(item: Any) -> int:
    """Return about how many bytes an item takes as it travels: those of its texts, with a little for the rest."""
    if isinstance(item, str):
        return 2 + (len(item) if item.isascii() else len(item.encode("utf-8", "surrogatepass")))
    if isinstance(item, bytes):
        return 2 + len(item)
    if item is None or isinstance(item, int | float):
        return 4
    if isinstance(item, Message):
        return item.ByteSize()
    if isinstance(item, dict):
        return weight(list(item)) + weight(list(item.values()))
    parts = item if isinstance(item, list | tuple | set | frozenset) else _parts(item)
    total = 4
    for part in parts:
        total += weight(part)
    return total


def _parts(item: Any) -> Sequence[Any]:
    kind: Any = type(item)
    return [getattr(item, name) for name in _names(kind)]


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()


def until_full(
    items: Iterable[T], bytes_of: Callable[[T], int] = weight, bytes_max: int = PAGE_BYTES_MAX
) -> Iterator[T]:
    """Yield items up to the one that is too much for a page: behind it there may be more."""
    total = 0
    for count, item in enumerate(items):
        total += bytes_of(item)
        yield item
        if count and total > bytes_max:
            return


def full(items: Sequence[T], bytes_of: Callable[[T], int] = weight) -> list[T]:
    """Return the items that fit on a page, at least one."""
    total = 0
    for count, item in enumerate(items):
        total += bytes_of(item)
        if count and total > PAGE_BYTES_MAX:
            return list(items[:count])
    return list(items)


async def walk(method: Callable[[Any], Awaitable[Any]], request: Message) -> AsyncGenerator[Any, None]:
    """Yield the items of every page of a List RPC: of the repeated field that AIP-158 numbers 1.

    `method` is a stub's method, `request` the request for the first page.  Raises the RPC's error as a `MeshError`.
    """
    asked: Any = type(request)()
    asked.CopyFrom(request)
    while True:
        with from_rpc():
            answer = await method(asked)
        for item in getattr(answer, answer.DESCRIPTOR.fields_by_number[1].name):
            yield item
        if not answer.next_page_token:
            return
        asked.page_token = answer.next_page_token


def size(page_size: int) -> int:
    """Return how many items a page has: 0 means the default, too many is coerced down; negative raises `Invalid`."""
    if page_size < 0:
        raise Invalid("page_size is negative", {"page_size": ["must be 0 (the default) or more"]})
    return min(page_size or DEFAULT, MAX)


def encode(last_key: str, *filters: str) -> str:
    """Return the token of the page behind `last_key`."""
    said = json.dumps([last_key, _digest(filters)], ensure_ascii=False)
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def decode(token: str, *filters: str) -> str:
    """Return the key to continue behind; empty for no token.  Raises `Invalid` if it was made for another filter."""
    if not token:
        return ""
    try:
        if len(token) > _TOKEN_CHARS_MAX:
            raise ValueError
        last_key, digest = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        last_key.encode()  # text, and text that a database takes
        if "\0" in last_key:
            raise ValueError
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise bad_token() from None
    if digest != _digest(filters):
        raise Invalid("page_token belongs to another filter", {"page_token": ["start again without it"]})
    return str(last_key)


def number(key: str) -> int:
    """Return a key that is a whole number of 64 bits, 0 for none; raise `Invalid` for another, as of a forged token."""
    if not key:
        return 0
    try:
        found = int(key)
    except ValueError:
        raise bad_token() from None
    if abs(found) >= 2**63:
        raise bad_token()
    return found


def moment(at: float, name: str) -> str:
    """Return the key of an item of a list in order of time."""
    return json.dumps([at, name])


def of_moment(key: str) -> tuple[float, str] | None:
    """Return what `moment` made a key of, None for none; raise `Invalid` for another, as of a forged token."""
    if not key:
        return None
    try:
        at, name = json.loads(key)
        found = float(at), str(name)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise bad_token() from None
    if not math.isfinite(found[0]):
        raise bad_token()
    return found


def bad_token() -> Invalid:
    """Return the error for a token that we have not made."""
    return Invalid("page_token is not one of ours", {"page_token": ["pass it as it was given"]})


def _digest(filters: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(filters).encode()).hexdigest()[:8]
