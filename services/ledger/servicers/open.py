"""The ledger of this mesh, if it has one."""

from meshkit.errors import FailedPrecondition
from services.ledger.ledger import Ledger


class Behind:
    """A servicer's way to the ledger."""

    def __init__(self, ledger: Ledger | None) -> None:
        self._given = ledger

    @property
    def _ledger(self) -> Ledger:
        if self._given is None:
            raise FailedPrecondition("this mesh has no ledger: its networks are on other providers")
        return self._given
