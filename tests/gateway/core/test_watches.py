"""Jobs' logs, each watched once for all who follow it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import job_pb2

from gateway.core.watches import RECENT_BYTES_MAX, Batch, Watches
from meshkit.principal import Principal, acting
from tests.gateway.watching import batch, event

ALICE = Principal(user="users/alice")
OPERATOR = Principal(user="users/root", operator=True)
WAIT_S = 30.0


class Jobs:
    """The runner's service of jobs as a stub shows it, with one job whose log grows."""

    def __init__(self) -> None:
        self.log: list[job_pb2.Event] = []
        self.calls: list[Watching] = []
        self.grown = asyncio.Condition()
        self.asked = asyncio.Event()
        """Set when a watch begins or ends."""

    @property
    def job(self) -> job_pb2.Job:
        """As it is."""
        state = job_pb2.JOB_STATE_SUCCEEDED if self.is_over else job_pb2.JOB_STATE_RUNNING
        return job_pb2.Job(name="jobs/1", state=state, last_seq=len(self.log))

    @property
    def is_over(self) -> bool:
        """Whether the log is complete."""
        return bool(self.log) and self.log[-1].kind == "status"

    @property
    def open(self) -> "list[Watching]":
        """The watches that go on."""
        return [call for call in self.calls if not call.cancelled]

    async def say(self, *payloads: str) -> None:
        """Add events; `end` is the last."""
        async with self.grown:
            for payload in payloads:
                kind, text = ("status", "succeeded") if payload == "end" else ("debug", payload)
                self.log.append(event(len(self.log) + 1, kind, text))
            self.grown.notify_all()

    async def until(self, count: int) -> None:
        """Wait until so many watches go on."""
        async with asyncio.timeout(WAIT_S):
            while len(self.open) != count:
                self.asked.clear()
                await self.asked.wait()

    async def GetJob(self, request: job_pb2.GetJobRequest) -> job_pb2.Job:
        return self.job

    def WatchJob(self, request: job_pb2.WatchJobRequest) -> "Watching":
        self.calls.append(Watching(self, request.after_seq))
        self.asked.set()
        return self.calls[-1]


class Watching:
    """A call of WatchJob."""

    def __init__(self, jobs: Jobs, after_seq: int) -> None:
        self.after_seq = after_seq
        self.reads = 0
        self.cancelled = False
        self.code: grpc.StatusCode | None = None
        """Of the error that the next read has."""
        self._jobs = jobs
        self._seq = after_seq

    async def read(self) -> Any:
        jobs = self._jobs
        async with jobs.grown:
            await jobs.grown.wait_for(lambda: self.code or self._seq < len(jobs.log) or jobs.is_over)
        if self.code is not None:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(self.code, nothing, nothing)
        found = jobs.log[self._seq : self._seq + 10]
        if not found:
            return grpc.aio.EOF
        self.reads += 1
        self._seq = found[-1].seq
        return batch(*found)

    async def fail(self, code: grpc.StatusCode) -> None:
        """End with an error."""
        async with self._jobs.grown:
            self.code = code
            self._jobs.grown.notify_all()

    def cancel(self) -> bool:
        self.cancelled = True
        self._jobs.asked.set()
        return True


class Follower:
    """One who follows the job, from an event on."""

    def __init__(self, watches: Watches, jobs: Jobs, after_seq: int = 0, who: Principal = ALICE) -> None:
        self.seen: list[int] = []
        self._who = who
        self._batches: AsyncGenerator[Batch, None] = watches.follow(jobs.job, after_seq)

    async def next(self) -> Batch:
        """Return what comes next."""
        with acting(self._who):
            async with asyncio.timeout(WAIT_S):
                found = await anext(self._batches)
        self.seen += [each.seq for each in found.events]
        return found

    async def to(self, seq: int) -> None:
        """Follow to an event."""
        while not self.seen or self.seen[-1] < seq:
            await self.next()

    async def rest(self) -> list[int]:
        """Follow to the end; return all that was seen."""
        with contextlib.suppress(StopAsyncIteration):
            while True:
                await self.next()
        return self.seen

    async def leave(self) -> None:
        """Follow no more."""
        await self._batches.aclose()


@pytest.fixture
def jobs() -> Jobs:
    """A job that has said a word."""
    jobs = Jobs()
    jobs.log.append(event(1, "debug", "a"))
    return jobs


@pytest_asyncio.fixture
async def watches(jobs: Jobs) -> AsyncIterator[Watches]:
    """The watches of a process."""
    stub: Any = jobs
    async with Watches.of(stub) as watches:
        yield watches


async def test_the_runner_is_asked_once_for_all(watches: Watches, jobs: Jobs) -> None:
    """Each gets what is behind the event it names, and the same objects come to all."""
    first = Follower(watches, jobs)
    await first.to(1)
    others = [Follower(watches, jobs, after_seq) for after_seq in (0, 0, 1, 2, 7)]
    rests = [asyncio.create_task(other.rest()) for other in others]
    await jobs.say("b", "c")
    await first.to(3)
    await jobs.say("d", "end")

    assert [1, 2, 3, 4, 5] == await first.rest()
    assert [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [2, 3, 4, 5], [3, 4, 5], []] == await asyncio.gather(*rests)
    assert [0] == [call.after_seq for call in jobs.calls]


async def test_with_the_last_who_leaves_a_watch_ends(watches: Watches, jobs: Jobs) -> None:
    """Not with the first, though it was its own."""
    first, second = Follower(watches, jobs), Follower(watches, jobs)
    await first.to(1)
    await second.to(1)
    await first.leave()
    await jobs.say("b")
    await second.to(2)
    assert 1 == len(jobs.calls) == len(jobs.open)

    await second.leave()

    await jobs.until(0)


async def test_who_is_slow_holds_up_nobody_and_is_kept_nothing_for(watches: Watches, jobs: Jobs) -> None:
    """What is not at hand any more comes by a watch of one's own; then one shares again."""
    slow, quick = Follower(watches, jobs), Follower(watches, jobs)
    await slow.to(1)
    large = "x" * (RECENT_BYTES_MAX // 20)
    for _ in range(50):
        await jobs.say(large)
        await quick.to(len(jobs.log))
    assert 1 == len(jobs.calls)

    await slow.to(len(jobs.log))

    assert 2 == len(jobs.calls)
    await jobs.say("end")
    assert list(range(1, 53)) == await slow.rest() == await quick.rest()


async def test_nothing_is_read_for_nobody(watches: Watches, jobs: Jobs) -> None:
    """The runner is asked on when somebody wants more: of a long log one message is on its way."""
    await jobs.say(*("x" for _ in range(400)))
    only = Follower(watches, jobs)
    await only.next()

    (call,) = jobs.calls
    assert 1 == call.reads


async def test_who_opens_far_back_holds_up_nobody_at_the_tip(watches: Watches, jobs: Jobs) -> None:
    """A watch for all begins where the job is."""
    await jobs.say(*("x" for _ in range(2000)))
    far = Follower(watches, jobs)
    await far.next()
    tip = Follower(watches, jobs, len(jobs.log))
    rest = asyncio.create_task(tip.rest())
    await jobs.say("end")

    assert [2002] == await rest
    assert [0, 2001] == [call.after_seq for call in jobs.calls]
    assert list(range(1, 2003)) == await far.rest()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
async def test_who_may_not_any_more_ends_it_for_nobody_else(watches: Watches, jobs: Jobs, code: Any) -> None:
    """The runner is asked on behalf of another, once, from where it was."""
    gone, *others = [Follower(watches, jobs) for _ in range(4)]
    for each in (gone, *others):
        await each.to(1)
    rests = [asyncio.create_task(other.rest()) for other in others]
    await jobs.calls[0].fail(code)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gone.rest()
    await jobs.until(1)
    await jobs.say("b", "end")

    assert code is caught.value.code()
    assert [[1, 2, 3]] * 3 == await asyncio.gather(*rests)
    assert [0, 1] == [call.after_seq for call in jobs.calls]


async def test_what_fails_fails_for_all_and_is_tried_anew(watches: Watches, jobs: Jobs) -> None:
    """By whoever comes next, also while others have not noticed."""
    first, late = Follower(watches, jobs), Follower(watches, jobs)
    await first.to(1)
    await late.to(1)
    await jobs.calls[0].fail(grpc.StatusCode.RESOURCE_EXHAUSTED)
    with pytest.raises(grpc.aio.AioRpcError):
        await first.rest()
    newcomer = Follower(watches, jobs)
    await newcomer.to(1)

    with pytest.raises(grpc.aio.AioRpcError):
        await late.rest()
    await jobs.say("end")
    assert [1, 2] == await newcomer.rest()


async def test_operators_see_more_and_share_with_nobody_else(watches: Watches, jobs: Jobs) -> None:
    """What they are shown comes by a watch on their behalf."""
    owner, operator = Follower(watches, jobs), Follower(watches, jobs, who=OPERATOR)
    await owner.to(1)
    await operator.to(1)

    assert 2 == len(jobs.open)


async def test_a_finished_log_is_just_read(watches: Watches, jobs: Jobs) -> None:
    """Nobody waits for anything."""
    await jobs.say("b", "end")

    assert [3] == await Follower(watches, jobs, 2).rest()
    assert [2] == [call.after_seq for call in jobs.calls]


async def test_what_is_shown_is_made_once() -> None:
    """For all who ask with the same key; if the first goes away, the next makes it."""
    made: list[str] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def make(_: Batch) -> str:
        made.append("made")
        begun.set()
        await go_on.wait()
        return "shown"

    shared = Batch([event(1, "debug", "a")])
    tasks = [asyncio.create_task(shared.once("key", make)) for _ in range(3)]
    await begun.wait()
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    go_on.set()

    assert ["shown", "shown"] == await asyncio.gather(*tasks[1:])
    assert 2 == len(made)
    assert "shown" == await shared.once("key", make)
    assert 2 == len(made)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_each_sees_each_event_once(watches: Watches, jobs: Jobs, seed: int) -> None:
    """Cut at random points, slow and quick, from the beginning and from the middle, over watches that break."""
    chance = random.Random(seed)
    codes = sorted(set(grpc.StatusCode) - {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}, key=str)

    async def follow() -> list[int]:
        seen: list[int] = []
        while not jobs.is_over or len(seen) < len(jobs.log):
            follower = Follower(watches, jobs, len(seen))
            with contextlib.suppress(StopAsyncIteration, grpc.aio.AioRpcError):
                for _ in range(chance.randrange(1, 12)):
                    await follower.next()
                    for _ in range(chance.choice((0, 0, 5, 50))):
                        await asyncio.sleep(0)
            await follower.leave()
            seen += follower.seen
        return seen

    following = [asyncio.create_task(follow()) for _ in range(10)]
    for _ in range(150):
        await jobs.say("x" * chance.choice((1, 100, RECENT_BYTES_MAX // 8)))
        if jobs.open and chance.random() < 0.05:
            await chance.choice(jobs.open).fail(chance.choice(codes))
        for _ in range(chance.choice((0, 1, 20))):
            await asyncio.sleep(0)
    await jobs.say("end")

    async with asyncio.timeout(WAIT_S):
        assert [list(range(1, 153))] * 10 == await asyncio.gather(*following)
    await jobs.until(0)
