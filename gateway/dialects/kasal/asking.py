"""What all calls of Kasal have in common: pages, times, and errors of services in Kasal's words."""

import contextlib
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from google.api import httpbody_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.dialects.kasal.ids import Kind
from gateway.http import bodies
from meshkit import paging
from meshkit.errors import AlreadyExists, Invalid, NotFound, from_rpc

LIMIT, LIMIT_MAX = 50, 100
_PAGE_MAX = 1_000_000
_INDEX = re.compile(r"\[(\d+)\]")
_ITSELF = ("agent", "crew", "task_def", "tool")
_NAMES = {
    "agent": "agent_id",
    "auth": "auth_type",
    "crew": "crew_id",
    "depends_on": "context",
    "display_name": "name",
    "new_agents": "agents",
    "new_task_defs": "tasks",
}
"""Fields of the registry's messages, and what Kasal calls them."""
Item = TypeVar("Item")


class Page(NamedTuple):
    """Which items of a list are asked for."""

    number: int
    """From 1."""
    limit: int

    @classmethod
    def of(cls, page: str, limit: str) -> "Page":
        """Return what a query says.  Raises `Invalid` for what is no number or out of range."""
        return cls(_number("page", page, 1, _PAGE_MAX), _number("limit", limit, LIMIT, LIMIT_MAX))

    def cut(self, items: list[Item]) -> list[Item]:
        """Return the items of this page, of all up to its end."""
        return items[(self.number - 1) * self.limit : self.number * self.limit]

    async def read(self, method: Callable[[Any], Awaitable[Any]], asked: Any) -> tuple[list[Any], int]:
        """Return the items of this page, and how many there are on all, of a list that counts them.

        Lists of services are read from their beginning: they know no numbers of pages.
        """
        total = 0

        async def noted(request: Any) -> Any:
            nonlocal total
            answer = await method(request)
            total = answer.total_size
            return answer

        return self.cut(await listed(noted, asked, most=self.number * self.limit)), total


async def listed(method: Callable[[Any], Awaitable[Any]], asked: Any, *, most: int = sys.maxsize) -> list[Any]:
    """Return all items of a List RPC, or the first `most` of them.  Raises what the service says."""
    asked.page_size = min(most, paging.MAX)
    found: list[Any] = []
    async with contextlib.aclosing(paging.walk(method, asked)) as items:
        async for item in items:
            found.append(item)
            if len(found) == most:
                break
    return found


def _number(field: str, text: str, default: int, high: int) -> int:
    if not text:
        return default
    if text.isascii() and text.isdecimal() and len(text) <= len(str(high)) and 1 <= int(text) <= high:
        return int(text)
    raise Invalid(f"{field} is out of range", {field: [f"send a number from 1 to {high}"]})


@contextlib.contextmanager
def of(kind: Kind, shown: str) -> Iterator[None]:
    """Around calls about one thing: what a service does not find is said of the id that the client sent."""
    try:
        with from_rpc():
            yield
    except NotFound as error:
        raise kind.missing(shown) from error


def time_of(stamp: Timestamp) -> str:
    """Return a time as Kasal shows it: `2024-01-15T10:30:00Z`."""
    return stamp.ToDatetime().strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed(body: httpbody_pb2.HttpBody, model: type[bodies.Model], noun: str) -> bodies.Model:
    """Return what was sent, with comments as the document prints them.

    Raises `Invalid`: `Invalid crew configuration` for the noun `crew`.
    """
    try:
        return bodies.validate(bodies.parse_commented_json(body), model)
    except Invalid as error:
        raise _invalid(noun, error) from None


@contextlib.contextmanager
def defining(noun: str) -> Iterator[None]:
    """Around calls to the registry that add or change something: its errors name Kasal's fields.

    A tool that there is not was named in the request, so it is the request that is wrong; so is a name that is taken.
    """
    try:
        with from_rpc():
            yield
    except Invalid as error:
        fields = {_ours(field): texts for field, texts in error.fields.items()}
        raise _invalid(noun, Invalid(str(error), fields)) from error
    except AlreadyExists as error:
        raise _invalid(noun, Invalid(str(error), {"name": ["is taken: choose another one"]})) from error
    except NotFound as error:
        field = error.metadata.get("field", "")
        if "tools[" not in field:
            raise
        fields = {_ours(field): ["there is no such tool: GET /tools lists their names"]}
        raise _invalid(noun, Invalid(str(error), fields)) from error


def _invalid(noun: str, error: Invalid) -> Invalid:
    return Invalid(f"Invalid {noun} configuration", error.fields) if error.fields else error


def _ours(field: str) -> str:
    """Return `agents.0.name` for `new_agents[0].display_name`."""
    head, *rest = _INDEX.sub(r".\1", field).split(".")
    parts = rest if head in _ITSELF and rest else [head, *rest]
    if "model" in parts:  # one name here, several fields there
        parts = parts[: parts.index("model") + 1]
    return ".".join(_NAMES.get(part, part) for part in parts)
