"""A place to keep agents, crews, task definitions and tools, with their secrets.

What belongs together is read and written together: `write` runs a function over a `Transaction`, and all of it is on
disk or nothing.  Whoever asks says in whose name (`owner`): the store finds nothing of anybody else, and None stands
for somebody who sees all.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Protocol, TypeVar

from meshkit.idempotency import Request
from services.registry.domain.records import Record
from services.registry.domain.taskdefs import TaskDef

R = TypeVar("R", bound=Record)
T = TypeVar("T")

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""Of the records of one page, unless a single one is longer: a message takes no more than a few of these."""


class Transaction(Protocol):
    """Definitions as they are at one moment, and changes of them that happen as one."""

    def find(self, kind: type[R], record_id: str, owner: str | None) -> R | None:
        """Return a record, archived or not."""

    def find_handle(self, kind: type[R], handle: str, owner: str) -> R | None:
        """Return the owner's living record of this slug or name."""

    def select(
        self, kind: type[R], owner: str | None, standings: Collection[str], before: str, limit: int
    ) -> tuple[list[R], bool]:
        """Return records of these standings, newest first, whose ids are less than `before`, and if there are more.

        At most `limit`, and no more than `PAGE_BYTES_MAX` of them.
        """

    def count(self, kind: type[Record], owner: str | None, standings: Collection[str]) -> int:
        """Return how many there are of these standings; it costs the same for few and many."""

    def tasks(self, crew: str) -> list[TaskDef]:
        """Return the task definitions of a crew that are not archived, in their order, which is that of their ids."""

    def select_tasks(self, crew: str, standings: Collection[str], after: str, limit: int) -> tuple[list[TaskDef], bool]:
        """Return a crew's task definitions in their order, as `select` does, whose ids are greater than `after`."""

    def count_tasks(self, crew: str, standings: Collection[str]) -> int:
        """Return how many a crew has of these standings."""

    def first_crew(self, agent: str) -> str:
        """Return the id of the oldest living crew that an agent is of; empty if there is none."""

    def standings(self, agents: Iterable[str]) -> dict[str, str]:
        """Return the standings of agents, by id; those that do not exist are left out."""

    def put(self, record: Record) -> None:
        """Keep a record.  Raises `AlreadyExists` if another living one of its owner's has its handle."""

    def keep_secret(self, name: str, field: str, key_id: str, sealed: bytes) -> None:
        """Keep what is sealed, in the place of what was."""

    def secret(self, name: str, field: str) -> bytes | None:
        """Return what is sealed."""

    def forget_secret(self, name: str, field: str) -> None:
        """Forget what is sealed; it may be none."""

    def keep_request(self, request: Request | None) -> None:
        """Keep the request that asked for this, if there is one.  Raises `AlreadyExists` if it is kept already."""


class DefinitionStore(Protocol):
    """Keeps definitions.  `tests/registry/stores` holds every one to this."""

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what `work` makes of the definitions as they are; it changes nothing."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, and return what it returns once its changes are kept.

        What it raises comes out, and nothing has changed.  It may run in another thread, and must not wait.
        """
