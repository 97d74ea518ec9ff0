"""Where apps stand, as the runner streams it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from meshkit.bus import MemoryBus
from meshkit.errors import Unavailable
from meshkit.tasks import background
from services.registry.domain.deploying import Deployed, DeployFailed, Plan
from services.registry.domain.standings import AppStatus, Snapshot, State
from services.registry.ports.apps import APPS
from services.registry.standings import Standings

PLAN = Plan(import_path="a:b", runtime_env_json="{}", deployments_json="[]")
SOON_S = 30.0
BRIEF_S = 0.3
"""The patience with news that will not come."""


class FakeApps:
    """A runner that says what a test lets it say."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.is_up = True
        self.is_late = False
        """Whether its stream says nothing of what is deployed and removed, before `tell` is called."""
        self.opened = 0
        self.has_failed = asyncio.Event()
        self._bus = MemoryBus()

    async def tell(self) -> None:
        """Let the stream say where apps stand, or break it if the runner is down."""
        await self._bus.publish("told")

    async def follow(self) -> AsyncGenerator[Snapshot, None]:
        """Say where apps stand now, and whenever it is told to."""
        self.opened += 1
        async with self._bus.subscribe("told") as waker:
            while True:
                yield await self.fetch()
                await waker.wait()

    async def fetch(self, *, patient: bool = False) -> Snapshot:
        """Say where apps stand."""
        if not self.is_up:
            self.has_failed.set()
            raise Unavailable("away")
        return Snapshot(apps={name: AppStatus(state=state) for name, state in self.states.items()}, seen_at=None)

    async def deploy(self, expose: str, plan: Plan, timeout_s: float) -> Deployed:
        """Load it, unless it is called `broken`."""
        is_broken = expose == "broken"
        self.states[expose] = State.DEPLOY_FAILED if is_broken else State.RUNNING
        if not self.is_late:
            await self.tell()
        if is_broken:
            raise DeployFailed("why")
        return Deployed(status=AppStatus(state=State.RUNNING), flows=())

    async def remove(self, expose: str) -> None:
        """Forget it."""
        del self.states[expose]
        if not self.is_late:
            await self.tell()

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


@contextlib.asynccontextmanager
async def following(apps: FakeApps, bus: MemoryBus, patience_s: float = SOON_S) -> AsyncIterator[Standings]:
    """Follow the runner for the length of the block."""
    standings = Standings(apps, bus, patience_s=patience_s)
    async with background(standings.run(), "standings"):
        yield standings


def states(snapshot: Snapshot) -> dict[str, State]:
    """Return the states alone."""
    return {name: app.state for name, app in snapshot.apps.items()}


async def reads(standings: Standings, bus: MemoryBus, wanted: dict[str, State], *, reachable: bool = True) -> None:
    """Wait until readers see these states."""
    async with asyncio.timeout(SOON_S), bus.subscribe(APPS) as waker:
        while (found := await standings.current()).reachable is not reachable or states(found) != wanted:
            await waker.wait()


async def test_readers_ask_nobody(apps: FakeApps, bus: MemoryBus) -> None:
    """One stream is enough for all of them, and the first waits for its first word."""
    apps.states["a"] = State.RUNNING
    async with following(apps, bus) as standings:
        answers = await asyncio.gather(*(standings.current() for _ in range(5)))
        answers.append(await standings.current())

        assert [{"a": State.RUNNING}] * 6 == [states(answer) for answer in answers]
        assert 1 == apps.opened


async def test_what_changes_is_published(apps: FakeApps, bus: MemoryBus) -> None:
    """What the runner repeats is not."""
    async with following(apps, bus) as standings:
        await standings.current()
        async with bus.subscribe(APPS) as waker:
            await apps.tell()
            assert not await waker.wait(0.05)
            apps.states["a"] = State.UNHEALTHY
            await apps.tell()
            assert await waker.wait(SOON_S)

        assert {"a": State.UNHEALTHY} == states(await standings.current())


async def test_who_deploys_or_removes_sees_it(apps: FakeApps, bus: MemoryBus) -> None:
    """At once, and failures too, though the stream is another call."""
    async with following(apps, bus) as standings:
        await standings.current()
        await standings.deploy("a", PLAN, 1)
        deployed = states(await standings.current())
        with pytest.raises(DeployFailed):
            await standings.deploy("broken", PLAN, 1)
        failed = states(await standings.current())
        await standings.remove("a")

        assert {"a": State.RUNNING} == deployed
        assert {"a": State.RUNNING, "broken": State.DEPLOY_FAILED} == failed
        assert {"broken": State.DEPLOY_FAILED} == states(await standings.current())


async def test_news_that_do_not_come_hold_up_nobody(apps: FakeApps, bus: MemoryBus) -> None:
    """A deploy answers all the same, and the stream is believed."""
    async with following(apps, bus, BRIEF_S) as standings:
        await standings.current()
        apps.is_late = True
        async with asyncio.timeout(SOON_S):
            await standings.deploy("a", PLAN, 1)
        before = states(await standings.current())
        await apps.tell()
        await reads(standings, bus, {"a": State.RUNNING})

        assert {} == before


async def test_a_restart_of_the_runner_is_ridden_out(apps: FakeApps, bus: MemoryBus) -> None:
    """Its last word counts for a moment, and a whole snapshot follows."""
    apps.states["a"] = State.RUNNING
    async with following(apps, bus) as standings:
        await standings.current()
        apps.is_up = False
        await apps.tell()
        async with asyncio.timeout(SOON_S):
            await apps.has_failed.wait()
        during = await standings.current()
        apps.is_up, apps.states = True, {"b": State.DEPLOYING}
        await reads(standings, bus, {"b": State.DEPLOYING})

        assert (True, {"a": State.RUNNING}) == (during.reachable, states(during))
        assert apps.opened >= 2


async def test_a_runner_that_stays_away(apps: FakeApps, bus: MemoryBus) -> None:
    """The snapshot says so; it is heard again when it is back, and nobody who deploys meanwhile waits for news."""
    apps.states["a"] = State.RUNNING
    async with following(apps, bus, BRIEF_S) as standings:
        await standings.current()
        apps.is_up = False
        await apps.tell()
        await reads(standings, bus, {}, reachable=False)
        await standings.remove("a")
        apps.is_up = True
        await reads(standings, bus, {})


async def test_a_runner_that_was_never_there(apps: FakeApps, bus: MemoryBus) -> None:
    """A reader waits for a moment only."""
    apps.is_up = False
    async with following(apps, bus, BRIEF_S) as standings:
        async with asyncio.timeout(SOON_S):
            away = await standings.current()

        assert (away.reachable, away.apps) == (False, {})
