"""The queue: who may wait, in which order, and what becomes of those nobody will ever run."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import host_pb2

from meshkit.bus import MemoryBus
from meshkit.errors import Unavailable
from meshkit.tasks import Tasks
from services.runner import domain
from services.runner.domain import Birth, Change, Event, Isolation, Job, Reason, State
from services.runner.hosts.links import Hosts, Link
from services.runner.hosts.slots import Capacity
from services.runner.jobs.briefs import Briefs
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import QUEUE, Journal
from services.runner.jobs.tails import Tails
from services.runner.jobs.turns import Turns
from services.runner.peers.memory import MemoryDefinitions
from services.runner.ports.store import Written
from services.runner.stores.memory import MemoryStore
from tests.runner.filing import kept_files
from tests.runner.sealing import masks


class Troubled(MemoryStore):
    """A store that sometimes cannot tell what jobs have done."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0
        """How many questions it will not answer."""
        self.has_refused = asyncio.Event()
        self.broken: set[str] = set()
        """Jobs that cannot be read the next time."""
        self.writing = asyncio.Event()
        """Set while something is being written; that goes on as soon as `may_write`."""
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def create(self, *arguments: Any, **limits: Any) -> list[Written]:
        """As `JobStore.create`."""
        await self._pause()
        return await super().create(*arguments, **limits)

    async def update(self, *arguments: Any) -> Written:
        """As `JobStore.update`."""
        await self._pause()
        return await super().update(*arguments)

    async def _pause(self) -> None:
        self.writing.set()
        await self.may_write.wait()
        self.writing.clear()

    async def get(self, job_id: str) -> Job:
        """As `JobStore.get`."""
        if job_id in self.broken:
            self.broken.remove(job_id)
            raise RuntimeError("its row is damaged")
        return await super().get(job_id)

    async def events_of(self, job_id: str, kinds: Sequence[str]) -> list[Event]:
        """As `JobStore.events_of`."""
        if self.refusals:
            self.refusals -= 1
            self.has_refused.set()
            raise Unavailable("no descriptors are left")
        return await super().events_of(job_id, kinds)


class Stumbling(Dispatcher):
    """A dispatcher that sometimes cannot enqueue a job."""

    refusals = 0

    async def enqueue(self, job: Job) -> None:
        """As `Dispatcher.enqueue`."""
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError("its row is damaged")
        await super().enqueue(job)


class Runner:
    """The part of a runner that hands out jobs."""

    def __init__(self) -> None:
        self.store = Troubled()
        self.hosts = Hosts()
        self.tasks = Tasks()
        self.bus = bus = MemoryBus()
        turns = Turns()
        briefs = Briefs(self.store, self.store.conversations, self.store.memories, MemoryDefinitions())
        self.journal = Journal(self.store, Tails(self.store, bus), self.hosts, turns, bus, masks(), kept_files())
        self.dispatcher = Stumbling(self.journal, self.hosts, turns, briefs, bus, self.tasks, time.time)

    def serve(self, host_id: str, capacity: Capacity) -> Link:
        """Attach a host of the app."""
        link = self.hosts.add(Link(host_id, "demo", capacity))
        link.attach()
        self.hosts.serve(link)
        return link

    async def paid(self, number: int = 1, owner: str = "users/x") -> Job:
        """Keep a job that has just been paid for, put it in the line, and return it as it is then."""
        job = new(number, owner)
        await self.store.create([Birth(job=job)], None)
        await self.dispatcher.enqueue(job)
        await self.tasks.settle()  # what that began is done
        return await self.store.get(job.job_id)


def new(number: int, owner: str = "users/x", **more: object) -> Job:
    """Return a queued job."""
    fields: dict[str, object] = {"state": State.QUEUED, "created_at": 1.0, "updated_at": 1.0, **more}
    return Job(job_id=f"{number:024x}", flow="flows/demo", owner=owner, **fields)  # type: ignore[arg-type]


@pytest.fixture
async def runner() -> Runner:
    """Return a runner that knows of one app, which no host serves."""
    runner = Runner()
    runner.dispatcher.open("demo")
    runner.dispatcher.settle()
    return runner


async def test_just_after_the_start_a_job_is_found_later() -> None:
    """Apps are not known yet: the job stays as it is, and is found when they are."""
    job = await Runner().paid()

    assert State.QUEUED == job.state


async def test_while_its_host_is_restarted_a_job_waits(runner: Runner) -> None:
    """It runs when the host is there."""
    waiting = await runner.paid()
    runner.serve("h1", Capacity(processes=1))
    handed = await runner.paid(2)
    first = await runner.store.get(waiting.job_id)

    assert State.QUEUED == waiting.state
    assert (State.STARTING, "h1") == (first.state, first.host_id)
    assert State.QUEUED == handed.state


async def test_without_an_app_a_job_is_lost(runner: Runner) -> None:
    """Nothing will ever run it, so it says so."""
    await runner.dispatcher.close("demo", domain.SHUT_DOWN)

    job = await runner.paid()

    assert (State.FAILED, Reason.WORKER_LOST) == (job.state, job.reason)
    assert "its app was stopped" == job.error


async def test_whoever_waits_when_the_app_goes_ends_with_it(runner: Runner) -> None:
    """A line that nobody serves any more is no place to wait."""
    job = await runner.paid()

    await runner.dispatcher.close("demo", domain.SHUT_DOWN)
    ended = await runner.store.get(job.job_id)

    assert (State.CANCELLED, Reason.SHUTDOWN) == (ended.state, ended.reason)


async def test_owners_take_turns(runner: Runner) -> None:
    """The first job of one owner does not wait behind all of another's."""
    for number in range(1, 4):
        await runner.paid(number, "users/a")
    await runner.paid(4, "users/b")
    link = runner.serve("h1", Capacity(processes=2))

    await runner.paid(5, "users/b")

    assert {f"{1:024x}", f"{4:024x}"} == link.jobs


async def test_a_job_goes_where_most_room_is(runner: Runner) -> None:
    """Hosts of one app share its jobs."""
    links = [runner.serve("h1", Capacity(processes=2)), runner.serve("h2", Capacity(processes=3))]

    await runner.dispatcher.admit([new(number) for number in range(1, 4)])

    assert [1, 2] == [len(link.jobs) for link in links]


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_host_ends_behind_the_job_that_is_being_leased_to_it(runner: Runner, is_new: bool) -> None:
    """A host that holds nothing ends as soon as it is told that it may: the job would be lost with it."""
    waiting = new(1)
    if not is_new:
        await runner.store.create([Birth(job=waiting)], None)
    runner.store.may_write.clear()
    link = runner.serve("h1", Capacity(processes=1))
    launch = runner.dispatcher.admit([waiting]) if is_new else runner.dispatcher.enqueue(waiting)
    launching = asyncio.create_task(launch)
    await runner.store.writing.wait()
    runner.hosts.retire(link)
    link.post(host_pb2.RunnerMessage(drain=host_pb2.Drain()))
    taken = link.slots.taken

    runner.store.may_write.set()
    await launching
    await runner.tasks.settle()
    told = [message.WhichOneof("message") for message in await link.outgoing(link.generation)]

    assert 1 == taken == link.slots.taken
    assert ["run", "drain"] == told


async def test_shared_jobs_have_room_of_their_own(runner: Runner) -> None:
    """Jobs that need a process do not hold up those that do not."""
    link = runner.serve("h1", Capacity(processes=1, shared=5))

    kept = await runner.dispatcher.admit(
        [new(1), new(2), new(3, isolation=Isolation.SHARED), new(4, isolation=Isolation.SHARED)]
    )

    assert [State.STARTING, State.QUEUED, State.STARTING, State.STARTING] == [job.state for job in kept]
    assert (0, 3) == (link.room(Isolation.PROCESS), link.room(Isolation.SHARED))


async def test_a_lease_that_its_host_never_heard_of_is_given_to_another(runner: Runner) -> None:
    """The host ended between the write and the word: nothing ran, so nothing is lost."""
    gone = runner.serve("h1", Capacity(processes=1))
    job = new(1)
    await runner.store.create([Birth(job=domain.lease(job, gone.host_id, 1.0).job)], None)
    runner.hosts.remove("h1")
    runner.serve("h2", Capacity(processes=1))

    await runner.dispatcher.enqueue(await runner.store.get(job.job_id))
    await runner.tasks.settle()
    found = await runner.store.get(job.job_id)

    assert (State.STARTING, "h2", 2) == (found.state, found.host_id, found.epoch)


async def test_a_leased_job_whose_steps_cannot_be_read_is_handed_over_when_they_can(runner: Runner) -> None:
    """It holds its place meanwhile: nobody else would look after it."""
    link = runner.serve("h1", Capacity(processes=1))
    job = new(1, attempt=1)
    await runner.store.create([Birth(job=job)], None)
    runner.store.refusals = 2
    await runner.dispatcher.enqueue(job)
    waiting = await runner.paid(2)
    await runner.tasks.settle()

    assert State.QUEUED == waiting.state
    assert [f"jobs/{job.job_id}"] == [message.run.job for message in await link.outgoing(link.generation)]
    assert {job.job_id} == link.jobs


async def test_a_job_that_is_stopped_while_its_steps_cannot_be_read_ends(runner: Runner) -> None:
    """Its host has never heard of it."""
    runner.serve("h1", Capacity(processes=1))
    job = new(1, attempt=1)
    await runner.store.create([Birth(job=job)], None)
    runner.store.refusals = 1
    await runner.dispatcher.enqueue(job)
    await runner.store.has_refused.wait()
    await runner.journal.change(job.job_id, lambda job: domain.stop(job, Reason.USER_STOP, time.time()))
    await runner.tasks.settle()

    assert State.CANCELLED == (await runner.store.get(job.job_id)).state


def waits(job: Job) -> Change:
    """Let a job wait for a human."""
    return Change(job=dataclasses.replace(job, state=State.AWAITING_INPUT))


def answered(job: Job) -> Change:
    """Let a job go on."""
    return Change(job=dataclasses.replace(job, state=State.RUNNING))


async def test_no_owner_gets_the_last_slots(runner: Runner) -> None:
    """Whatever one starts, there is room for the first job of another."""
    link = runner.serve("h1", Capacity(processes=16))

    for number in range(1, 40):
        await runner.paid(number, "users/a")
    late = [await runner.paid(100 + number, f"users/{number}") for number in range(2)]

    assert [State.STARTING] * 2 == [job.state for job in late]
    assert 14 + 2 == len(link.jobs)


async def test_a_job_that_waits_for_a_human_holds_no_slot(runner: Runner) -> None:
    """Another runs in its place; when it goes on, both run, and nobody new until there is room again."""
    link = runner.serve("h1", Capacity(processes=1, resting=1))
    first, second = await runner.paid(1), await runner.paid(2)
    third = await runner.paid(3)
    assert [State.STARTING, State.QUEUED, State.QUEUED] == [first.state, second.state, third.state]

    await runner.journal.change(first.job_id, waits)
    await runner.dispatcher.enqueue(second)
    await runner.tasks.settle()
    assert {first.job_id, second.job_id} == link.jobs

    await runner.journal.change(first.job_id, answered)
    assert -1 == link.room(Isolation.PROCESS)
    await runner.journal.change(second.job_id, lambda job: domain.end(job, domain.SHUT_DOWN, 3.0))
    await runner.dispatcher.enqueue(third)
    await runner.tasks.settle()
    assert {first.job_id} == link.jobs


async def test_those_who_wait_are_bounded_too(runner: Runner) -> None:
    """A process that sleeps has its memory still: those beyond the bound hold their slots."""
    link = runner.serve("h1", Capacity(processes=3, resting=1))
    jobs = [await runner.paid(number) for number in range(1, 4)]

    for job in jobs:
        await runner.journal.change(job.job_id, waits)

    assert 1 == link.room(Isolation.PROCESS)


async def test_after_a_restart_those_who_wait_hold_no_slot(runner: Runner) -> None:
    """What a host holds since before our own start counts as it stands."""
    link = runner.serve("h1", Capacity(processes=1, resting=5))

    for number in range(1, 4):
        link.slots.hold(new(number, state=State.AWAITING_INPUT, host_id="h1"))

    assert 1 == link.room(Isolation.PROCESS)


async def test_seventy_waiting_jobs_shut_nobody_out(runner: Runner) -> None:
    """They are of one user, and fill the app: more than may sleep, and more than may run."""
    runner.serve("h1", Capacity(processes=16, resting=32))
    for number in range(1, 71):
        job = await runner.paid(number, "users/a")
        if job.state == State.STARTING:
            await runner.journal.change(job.job_id, waits)

    assert State.STARTING == (await runner.paid(100, "users/b")).state


async def test_flows_of_an_app_take_turns(runner: Runner) -> None:
    """Many jobs of one flow do not hold up the first of another, of the same owner."""
    for number in range(1, 4):
        await runner.paid(number)
    other = dataclasses.replace(new(4), flow="flows/demo/other")
    await runner.store.create([Birth(job=other)], None)
    await runner.dispatcher.enqueue(other)
    link = runner.serve("h1", Capacity(processes=2))

    await runner.paid(5)

    assert {f"{1:024x}", other.job_id} == link.jobs


async def test_a_job_that_cannot_be_enqueued_when_its_turn_comes_waits_for_the_next(runner: Runner) -> None:
    """Neither it nor the place of its target is lost."""
    first, second = (new(number, concurrency_limit=1) for number in (1, 2))
    for each in (first, second):
        await runner.store.create([Birth(job=each)], None)
        await runner.dispatcher.enqueue(each)
    link = runner.serve("h1", Capacity(processes=2))
    await runner.journal.insist(first.job_id, lambda job: domain.end(job, domain.SHUT_DOWN, 2.0))
    runner.dispatcher.refusals = 1
    running = asyncio.create_task(runner.dispatcher.run())
    try:
        async with asyncio.timeout(30):
            while second.job_id not in link.jobs:
                await runner.bus.publish(QUEUE)
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert 0 == runner.dispatcher.refusals


async def test_turns_are_taken_after_a_restart(runner: Runner) -> None:
    """Those who waited when the runner ended wait as before, whoever was first."""
    for number in range(1, 6):
        await runner.store.create([Birth(job=new(number, "users/a"))], None)
    await runner.store.create([Birth(job=new(6, "users/b"))], None)
    for job in await runner.store.open_jobs():
        await runner.dispatcher.enqueue(job)
    link = runner.serve("h1", Capacity(processes=2))

    await runner.paid(7, "users/a")

    assert {f"{1:024x}", f"{6:024x}"} == link.jobs
