"""Where apps stand, as far as it is known."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshkit.bus import MemoryBus
from meshkit.errors import Unavailable
from meshkit.principal import NOBODY, Principal, acting, caller
from meshkit.tasks import Tasks
from services.registry.domain.deploying import Deployed, DeployFailed, Plan
from services.registry.domain.standings import AppStatus, Snapshot, State
from services.registry.ports.apps import APPS
from services.registry.standings import Standings

PLAN = Plan(import_path="a:b", runtime_env_json="{}", deployments_json="[]")


class FakeApps:
    """A runner that answers what a test has put in."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.is_up = True
        self.asked_by: list[Principal] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, *, patient: bool = False) -> Snapshot:
        """Say where apps stand, once the gate is open: as it was when asked."""
        self.asked_by.append(caller())
        apps = {name: AppStatus(state=state) for name, state in self.states.items()}
        await self.gate.wait()
        if not self.is_up:
            raise Unavailable("away")
        return Snapshot(apps=apps, seen_at=None)

    async def deploy(self, expose: str, plan: Plan, timeout_s: float) -> Deployed:
        """Load it, unless it is called `broken`."""
        if expose == "broken":
            self.states[expose] = State.DEPLOY_FAILED
            raise DeployFailed("why")
        self.states[expose] = State.RUNNING
        return Deployed(status=AppStatus(state=State.RUNNING), flows=())

    async def remove(self, expose: str) -> None:
        """Forget it."""
        del self.states[expose]

    async def probe(self, expose: str, path: str, timeout_s: float) -> int:
        """Answer."""
        return 200


@pytest.fixture
def apps() -> FakeApps:
    """A runner."""
    return FakeApps()


@pytest.fixture
async def bus() -> MemoryBus:
    """A bus."""
    return MemoryBus()


@pytest.fixture
async def standings(apps: FakeApps, bus: MemoryBus) -> AsyncIterator[Standings]:
    """Standings that stay fresh for longer than a test takes."""
    tasks = Tasks()
    yield Standings(apps, bus, tasks, fresh_s=600)
    await tasks.close()


def states(snapshot: Snapshot) -> dict[str, State]:
    """Return the states alone."""
    return {name: app.state for name, app in snapshot.apps.items()}


async def test_readers_share_one_question(apps: FakeApps, standings: Standings) -> None:
    """Asked at the same time and again while the answer is fresh; in nobody's name but the registry's."""
    apps.states["a"] = State.RUNNING
    with acting(Principal(user="users/1")):
        answers = await asyncio.gather(*(standings.current() for _ in range(5)))
    answers.append(await standings.current())

    assert [{"a": State.RUNNING}] * 6 == [states(answer) for answer in answers]
    assert [NOBODY] == apps.asked_by


async def test_a_reader_that_hangs_up_stops_nobody(apps: FakeApps, standings: Standings) -> None:
    """The others get their answer."""
    apps.gate.clear()
    first, second = [asyncio.create_task(standings.current()) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    apps.gate.set()

    assert (await second).reachable


async def test_what_a_deploy_answers_is_known(apps: FakeApps, bus: MemoryBus, standings: Standings) -> None:
    """Without asking again, and those who watch are told."""
    await standings.current()
    async with bus.subscribe(APPS) as waker:
        await standings.deploy("a", PLAN, 1)

        assert await waker.wait(0)
    assert {"a": State.RUNNING} == states(await standings.current())
    assert 1 == len(apps.asked_by)


async def test_an_answer_from_before_a_deploy_does_not_count(apps: FakeApps, standings: Standings) -> None:
    """It was on its way while the app was loaded."""
    await standings.current()
    await standings.deploy("a", PLAN, 1)
    await standings.remove("a")
    apps.gate.clear()
    early = asyncio.create_task(standings.current())
    await asyncio.sleep(0)
    await standings.deploy("a", PLAN, 1)
    apps.gate.set()
    await early

    assert {"a": State.RUNNING} == states(await standings.current())


async def test_after_a_failure_the_runner_is_asked(apps: FakeApps, bus: MemoryBus, standings: Standings) -> None:
    """Only it knows what is left."""
    await standings.current()
    async with bus.subscribe(APPS) as waker:
        with pytest.raises(DeployFailed):
            await standings.deploy("broken", PLAN, 1)

        assert await waker.wait(0)
    assert {"broken": State.DEPLOY_FAILED} == states(await standings.current())


async def test_a_runner_that_is_away(apps: FakeApps, standings: Standings) -> None:
    """The snapshot says so, and a deploy that went well is asked for again rather than guessed at."""
    apps.is_up = False
    away = await standings.current()
    apps.is_up = True
    await standings.deploy("a", PLAN, 1)

    assert (away.reachable, away.apps) == (False, {})
    assert {"a": State.RUNNING} == states(await standings.current())
