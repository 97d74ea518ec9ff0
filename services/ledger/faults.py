"""Calls that go wrong because an operator has ordered it (development only)."""

import asyncio
import dataclasses
import enum

from services.ledger.domain.errors import BadRequest, Broken, Lost

FAULTS_MAX = 100
DELAY_S_MAX = 20.0
"""Less than the deadline of a call between services."""


class FaultKind(enum.StrEnum):
    """What goes wrong with a call."""

    LOST = "lost"
    """It is carried out, but the answer does not come (504)."""
    TIMEOUT = "timeout"
    """It hangs for `delay_s`, is not carried out, and no answer comes (504)."""
    ERROR = "error"
    """It is not carried out, and the answer is `status`."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Fault:
    """Goes wrong `count` times, then no more."""

    call: str
    """Such as `payment` or `payment/submit-result`; `*` for any."""
    kind: FaultKind
    count: int = 1
    delay_s: float = 0.0
    status: int = 500


class Faults:
    """The faults that wait to happen; they are gone with the process."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let something go wrong.  Raises `BadRequest` for a fault that cannot be."""
        if not 1 <= fault.count <= 10_000 or not 0 <= fault.delay_s <= DELAY_S_MAX or not 500 <= fault.status <= 599:
            raise BadRequest(f"a fault has a count of 1 to 10000, a delay of at most {DELAY_S_MAX} s, a status of 5xx")
        if len(self.waiting) >= FAULTS_MAX:
            raise BadRequest(f"there are {FAULTS_MAX} faults already: clear them first")
        self.waiting.append(fault)

    def _take(self, call: str, kinds: set[FaultKind]) -> Fault | None:
        for fault in self.waiting:
            if fault.call in (call, "*") and fault.kind in kinds:
                fault.count -= 1
                if not fault.count:
                    self.waiting.remove(fault)
                return fault
        return None

    async def before(self, call: str) -> None:
        """Fail a call that is not to be carried out."""
        fault = self._take(call, {FaultKind.TIMEOUT, FaultKind.ERROR})
        if fault is None:
            return
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.kind == FaultKind.TIMEOUT:
            raise Lost("injected: no answer in time")
        raise Broken("Internal Server Error", http=str(fault.status))

    async def after(self, call: str) -> None:
        """Fail a call that has been carried out."""
        fault = self._take(call, {FaultKind.LOST})
        if fault is not None:
            await asyncio.sleep(fault.delay_s)
            raise Lost("injected: the answer was lost")
