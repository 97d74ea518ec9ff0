"""What schedules fire: one that is bad harms itself only, and what was launched is known."""

import pathlib

import pytest

from meshkit.bus import MemoryBus
from meshkit.errors import Internal, Unavailable
from meshkit.sqlite import Database
from meshkit.tasks import Tasks
from meshkit.verifier import Revocations
from services.runner.births.launches import Launch, Launches
from services.runner.callers.requests import Requests
from services.runner.callers.standing import Standing
from services.runner.domain import Birth, Job
from services.runner.domain.schedules import FiringState, ScheduleState
from services.runner.ports.schedules import Owner
from services.runner.schedules.firings import Firings
from services.runner.stores.memory import MemoryStore
from services.runner.stores.sqlite import SqliteStore
from services.runner.stores.sqlite.schema import MIGRATIONS
from tests.runner.domain.test_schedules import HOUR, schedule
from tests.runner.sealing import SEALING, masks
from tests.runner.stores.test_stores import job


class Keeping(Launches):
    """Keeps a job for each launch; may not say so."""

    def __init__(self, store: MemoryStore | SqliteStore, requests: Requests) -> None:
        self._kept = store
        self._asked = requests
        self.error: Exception | None = None
        """What is raised once a job is kept."""

    async def create(self, launch: Launch) -> Job:
        """As `Launches.create`."""
        made = job(1, launch.order.owner)
        request = self._asked.made(made.owner, launch.request_id)
        assert request is not None
        await self._kept.create([Birth(job=made)], request.answered(made.job_id.encode()))
        if self.error is not None:
            raise self.error
        return made


class People:
    """Owners of whom each is asked for so often until they are gone."""

    def __init__(self) -> None:
        self.left = 100

    async def find(self, user: str) -> Owner | None:
        """As `Owners.find`."""
        self.left -= 1
        return Owner(operator=False, tier="pro") if self.left >= 0 else None


class Firing:
    """The part of a runner that fires schedules, at one o'clock."""

    def __init__(self, store: MemoryStore | SqliteStore, patience_s: float = 0.0) -> None:
        self.store = store
        self.tasks = Tasks()
        self.people = People()
        requests = Requests(store)
        self.launches = Keeping(store, requests)
        on = (store.schedules, store, self.launches, None, Standing(self.people, Revocations()), requests, masks())
        self.firings = Firings(*on, MemoryBus(), self.tasks, patience_s=patience_s, now=lambda: HOUR)  # type: ignore[arg-type]

    async def fire(self) -> None:
        """Fire what is due, and see what comes of it."""
        await self.firings.fire_due()
        await self.tasks.settle()


async def test_a_schedule_whose_times_cannot_be_told_is_stopped() -> None:
    """It says why; the others fire."""
    at = Firing(MemoryStore())
    await at.store.schedules.add(schedule(schedule_id="bad", time_zone="Mars/Olympus"), None)
    await at.store.schedules.add(schedule(), None)

    await at.fire()

    bad = await at.store.schedules.get("bad")
    assert (ScheduleState.STOPPED, 0.0, 0) == (bad.state, bad.next_at, bad.firing_count)
    assert "Mars/Olympus" in bad.message
    assert FiringState.LAUNCHED == (await at.store.schedules.firing("s", 1)).state


async def test_a_row_that_cannot_be_read_harms_no_other(tmp_path: pathlib.Path) -> None:
    """Whatever is in it, and however often it is looked at."""
    database = Database(tmp_path / "runner.db", MIGRATIONS, SEALING)
    database.open()
    at = Firing(SqliteStore(database))
    await at.store.schedules.add(schedule(schedule_id="bad"), None)
    await at.store.schedules.add(schedule(), None)
    bad = "UPDATE schedules SET overlap = 'of another version' WHERE schedule_id = 'bad'"
    await database.write(lambda connection: connection.execute(bad).rowcount)

    await at.fire()
    await at.fire()

    assert FiringState.LAUNCHED == (await at.store.schedules.firing("s", 1)).state
    await database.close()


@pytest.mark.parametrize("error", [Unavailable("lost"), Internal("lost"), ValueError("lost")])
async def test_a_job_is_known_though_the_answer_of_its_launch_was_lost(error: Exception) -> None:
    """The firing has launched it, whatever else is said of the launch."""
    at = Firing(MemoryStore())
    at.launches.error = error
    await at.store.schedules.add(schedule(), None)

    await at.fire()

    firing = await at.store.schedules.firing("s", 1)
    assert (FiringState.LAUNCHED, job(1).job_id) == (firing.state, firing.job_id)


async def test_a_job_is_known_though_its_owner_is_gone() -> None:
    """The schedule is stopped; what it had launched by then it has launched."""
    at = Firing(MemoryStore(), patience_s=30.0)
    at.launches.error = Unavailable("lost")
    at.people.left = 1
    await at.store.schedules.add(schedule(), None)

    await at.fire()

    firing = await at.store.schedules.firing("s", 1)
    assert (FiringState.LAUNCHED, job(1).job_id) == (firing.state, firing.job_id)
    assert ScheduleState.STOPPED == (await at.store.schedules.get("s")).state
