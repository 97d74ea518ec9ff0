"""What addresses of pages name: it is there, or there is no such page."""

import contextlib
from collections.abc import Iterator

from meshkit.errors import Invalid, NotFound, from_rpc

GONE = "it may have been deleted, or be somebody else's"


@contextlib.contextmanager
def naming(what: str, why_not: str = GONE) -> Iterator[None]:
    """As `from_rpc`, around a call that gets what an address names: what is not there, or no name, is `NotFound`."""
    try:
        with from_rpc():
            yield
    except (NotFound, Invalid):
        raise NotFound(f"There is no such {what}: {why_not}.") from None
