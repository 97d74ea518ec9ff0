"""Lists of the services, read to their end (AIP-158)."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from meshkit.errors import from_rpc

PAGE_SIZE = 1000
Item = TypeVar("Item")


async def every(
    call: Callable[[Any], Awaitable[Any]],
    asked: Any,
    items: Callable[[Any], Iterable[Item]],
    *,
    most: int | None = None,
) -> list[Item]:
    """Return the items of all pages, or the first `most` of them.

    `call` is a method of a stub, `asked` its request, whose page fields are set here, and `items` takes them out of a
    page.  Raises what the service says.
    """
    found: list[Item] = []
    asked.page_size = PAGE_SIZE if most is None else min(most, PAGE_SIZE)
    while True:
        with from_rpc():
            page = await call(asked)
        found.extend(items(page))
        if not page.next_page_token or (most is not None and len(found) >= most):
            return found[:most]
        asked.page_token = page.next_page_token
