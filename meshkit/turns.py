"""Work of which there is one for all replicas of a service: whose turn it is does it.

`Alone` is for a service that has no other replicas; `meshkit.postgres.turns` lets PostgreSQL say whose turn it is.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol


class Turns(Protocol):
    """Says who does what only one should do."""

    @property
    def shared(self) -> bool:
        """Whether there may be other replicas, which change things without telling us."""

    async def run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever it is our turn to do what `name` stands for, until cancelled.

        It is cancelled when our turn is over, and run anew when it comes again.  What it had begun may be begun by
        another replica at that moment: as after a crash, it must be safe to do twice.  Returns when `work` does, and
        raises what it raises.
        """

    async def take(self, name: str) -> bool:
        """Take a turn, or renew it, and return whether it is ours: for seconds, unless we `keep` it.

        Raises `Unavailable` if nobody can say whose it is.
        """

    async def taken(self, name: str) -> bool:
        """Return whether it is another replica's turn.  Raises `Unavailable`."""

    async def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` while a turn that we have taken is ours, cancel it when it is not, and give the turn back.

        Raises what `work` does.
        """

    async def give_back(self, name: str) -> None:
        """Let others have a turn of ours; nothing if it is not ours."""


class Alone:
    """It is always our turn."""

    shared = False

    async def run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run it."""
        await work()

    async def take(self, name: str) -> bool:
        """It is ours."""
        return True

    async def taken(self, name: str) -> bool:
        """There is nobody else."""
        return False

    async def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run it."""
        await work()

    async def give_back(self, name: str) -> None:
        """Nobody waits for it."""


ALONE = Alone()
