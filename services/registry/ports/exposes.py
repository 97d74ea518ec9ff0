"""A place to keep exposes."""

from collections.abc import Callable
from typing import Protocol

from meshkit.idempotency import Request
from services.registry.domain.exposes import Expose

EXPOSES = "exposes"
"""What is published when an expose has changed."""


Asked = Callable[[Expose], Request]
"""Returns the request that asked for an expose, with its answer."""


class ExposeStore(Protocol):
    """Keeps exposes by name.  `tests/registry/stores` holds every one to this."""

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""

    async def put(
        self, name: str, original: str, decide: Callable[[Expose | None], Expose], asked: Asked | None = None
    ) -> Expose:
        """Keep what `decide` makes of the stored expose (None if there is none), and who `asked`, in one step.

        With an `original` other than `name`, that one is renamed: raises `NotFound` if it does not exist and
        `AlreadyExists` if `name` is taken, or if the request was made before.  What `decide` raises comes out, and
        nothing has changed.
        """

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose, in one step.  Raises `NotFound`."""

    async def delete(self, name: str) -> None:
        """Forget the expose, or raise `NotFound`."""
