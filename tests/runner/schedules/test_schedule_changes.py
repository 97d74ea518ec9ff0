"""Changes of schedules that cross: what stands in the end was checked as it stands."""

import asyncio

from meshkit.bus import MemoryBus
from meshkit.principal import Principal
from services.runner.births.launches import Launch, Launches
from services.runner.callers.masking import Given
from services.runner.callers.requests import Requests
from services.runner.callers.shares import Shares
from services.runner.ports.schedules import Owner
from services.runner.schedules.schedules import Schedules
from services.runner.stores.memory import MemoryStore
from tests.runner.domain.test_schedules import schedule
from tests.runner.sealing import masks
from tests.runner.stack import DEADLINE_S


class Checking(Launches):
    """Finds everything good, the first time after a while."""

    def __init__(self) -> None:
        self.checked: list[tuple[str, str]] = []
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def check(self, launch: Launch) -> Given:
        """As `Launches.check`."""
        self.checked.append((launch.order.target, launch.inputs_json))
        if not self.begun.is_set():
            self.begun.set()
            await self.go_on.wait()
        return Given()


class Everybody:
    """Owners who are all there."""

    async def find(self, user: str) -> Owner | None:
        """As `Owners.find`."""
        return Owner(operator=False, tier="pro")


async def test_inputs_are_checked_for_the_target_that_they_are_sent_to() -> None:
    """Another target, which somebody sets while they are being checked, has them checked anew."""
    store, launches, caller = MemoryStore(), Checking(), Principal(user="users/a")
    kept = (store.schedules, launches, Everybody(), Requests(store), Shares(store), masks(), MemoryBus())
    schedules = Schedules(*kept, count_max=0, now=lambda: 2.0)
    known = schedule()
    await store.schedules.add(known, None)

    draft = schedule(inputs_json='{"a":1}')
    changing = asyncio.create_task(schedules.update(known, draft, ("inputs_json",), caller))
    async with asyncio.timeout(DEADLINE_S):
        await launches.begun.wait()
        await schedules.update(known, schedule(target="flows/other"), ("target",), caller)
        launches.go_on.set()
        changed = await changing

    assert ("flows/other", '{"a":1}') == (changed.target, changed.inputs_json)
    assert [("flows/demo", '{"a":1}'), ("flows/other", "{}"), ("flows/other", '{"a":1}')] == launches.checked
