"""The workers of a host, in which jobs run as tasks: one, and another while that one takes no jobs.

A worker whose loop is blocked gets no new jobs until it goes on.  One with a job that was to stop and does not gets
none any more; it is killed when nothing else runs there, at the latest after a minute, so that stop means stopped.
"""

import asyncio
import contextlib
import itertools
import signal

from agentmesh_protos.runner.v1 import host_pb2
from google.protobuf.message import DecodeError

from agentmesh.host.attached.children import Child, Zygote
from agentmesh.host.attached.running import RunningJob
from agentmesh.host.forking.zygote import ROLE_WORKER
from agentmesh.host.talk import limits
from agentmesh.host.talk.frames import COUNT, GRACE, NUMBER, BrokenFrame, Kind, Splitter, pack_for
from agentmesh.host.talk.unsent import Unsent

_WORKERS_MAX = 8
_READ_BYTES = 512 * 1024
# A worker that has not taken a job up for so long is blocked, by code that does not even let its watchdog say so.
_TAKE_UP_S = 2.0
# How long after its grace a job that does not stop gets, to be told again and to end after all.
_STUCK_S = 1.5
_DRAIN_S = 60.0
# Jobs that have ended but left something that goes on, mostly a thread: more of them, and the worker is drained.
_LEFT_MAX = 16
# How much of all jobs together may be unacknowledged; each has an equal share, within limits.
_HELD_BYTES = 64 * 1024 * 1024
_SHARE_BYTES_MIN = 16 * 1024
_SHARE_BYTES_MAX = 8 * 1024 * 1024
_UNSENT_BYTES_MAX = 16 * 1024 * 1024


class SharedWay:
    """How one job runs in a worker."""

    __slots__ = ("_worker", "number")

    def __init__(self, worker: "Worker", number: int) -> None:
        self._worker = worker
        self.number = number

    @property
    def held_bytes_max(self) -> int:
        """Its share of what may be unacknowledged."""
        return min(_SHARE_BYTES_MAX, max(_SHARE_BYTES_MIN, _HELD_BYTES // max(1, len(self._worker.jobs))))

    def end_lock(self, end: host_pb2.LockEnd) -> None:
        """Tell the job what became of a lock."""
        self._worker.tell(self.number, Kind.LOCK_END, end.SerializeToString())

    def file_result(self, result: host_pb2.FileResult) -> None:
        """Tell the job what came of what it wanted of its files."""
        self._worker.tell(self.number, Kind.FILE_RESULT, result.SerializeToString())

    def keep(self, count: int) -> None:
        """Tell the job that so many more of its steps are on disk."""
        self._worker.tell(self.number, Kind.KEPT, COUNT.pack(count))

    def pause(self) -> None:
        """Have it wait at its next step, lock or event."""
        self._worker.tell(self.number, Kind.PAUSE)

    def resume(self) -> None:
        """Have it go on."""
        self._worker.tell(self.number, Kind.RESUME)

    def cancel(self, grace_s: float) -> None:
        """Cancel its task; a worker in which it goes on after `grace_s` is drained."""
        self._worker.cancel(self.number, grace_s)

    def kill(self) -> None:
        """Cancel its task, with no time to clean up."""
        self._worker.cancel(self.number, 0.0)

    def hold(self) -> None:
        """Have it wait with what it has to say."""
        self._worker.tell(self.number, Kind.HOLD)

    def go_on(self) -> None:
        """Have it go on."""
        self._worker.tell(self.number, Kind.GO_ON)


class Worker:
    """One worker: its process, and the jobs in it by number."""

    def __init__(self, child: Child, zygote: Zygote, pool: "Workers") -> None:
        self.jobs: dict[int, RunningJob] = {}
        self.is_draining = False
        self._is_blocked = False
        """Whether it says that its loop does not go on."""
        self._is_late = False
        """Whether it does not take up what it was sent, and cannot even say why."""
        self._has_begun = False
        """Whether it has said that it takes jobs up; one that has not is starting."""
        self._is_broken = False
        """Whether it has said what is no frame."""
        self._child = child
        self._zygote = zygote
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter(limits.FRAME_BYTES_MAX)
        self._unsent = Unsent()
        self._is_due = False
        self.room = asyncio.Event()
        """Set while there is not much unsent."""
        self.room.set()
        self._runs: dict[int, bytes] = {}
        """What was sent and not taken up, in case it comes back."""
        self._stuck: set[int] = set()
        """Jobs that were to stop, and do not; all of them are among `jobs`."""
        self._left: set[int] = set()
        """Jobs that have ended, but left something that goes on."""
        self._take_up: asyncio.TimerHandle | None = None
        self._drain: asyncio.TimerHandle | None = None
        self._loop.add_reader(child.sock, self._read)
        child.exited.add_done_callback(lambda done: self._finish(done.result()))

    @property
    def takes_jobs(self) -> bool:
        """Whether it may get new jobs now."""
        return not (self.is_draining or self._is_blocked or self._is_late)

    # -- to the worker -------------------------------------------------------------------------------------------

    def run(self, number: int, job: RunningJob, run: bytes) -> None:
        """Start a job."""
        self.jobs[number] = job
        self._runs[number] = run
        job.way = SharedWay(self, number)
        self.tell(number, Kind.RUN, run)
        self._watch_runs()

    def tell(self, number: int, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame about a job, with others of this turn of the loop."""
        self._unsent.add(pack_for(number, kind, payload))
        if self._unsent.bytes_count > _UNSENT_BYTES_MAX:
            self.room.clear()
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._write)

    def cancel(self, number: int, grace_s: float) -> None:
        """Cancel a job."""
        self.tell(number, Kind.CANCEL, GRACE.pack(grace_s))
        self._loop.call_later(grace_s + _STUCK_S, self._overdue, number)

    def kill(self) -> None:
        """End the worker at once."""
        self._zygote.signal(self._child, signal.SIGKILL)

    def _write(self) -> None:
        sock = self._child.sock
        if sock.fileno() < 0:
            return
        try:
            self._unsent.write(sock)
        except OSError:  # it has died: its exit is on the way
            self._unsent.clear()
        self._is_due = self._unsent.bytes_count > 0
        if self._is_due:
            self._loop.add_writer(sock, self._write)
        else:
            self._loop.remove_writer(sock)
        if self._unsent.bytes_count <= _UNSENT_BYTES_MAX:
            self.room.set()

    # -- from the worker -----------------------------------------------------------------------------------------

    def _read(self) -> None:
        if not (data := self._zygote.receive(self._child, _READ_BYTES)):
            return  # if it has gone, its exit tells how it ended
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        told: dict[int, RunningJob] = {}
        try:
            for kind, payload in self._splitter.feed(data):
                if len(payload) < NUMBER.size:
                    raise BrokenFrame("a frame without a number")
                (number,) = NUMBER.unpack_from(payload)
                if kind in (Kind.EVENT, Kind.RUNNING, Kind.LOCK, Kind.STEP, Kind.FILE_CALL):
                    self._runs.pop(number, None)
                    if (job := self.jobs.get(number)) is not None:
                        job.take(kind, payload[NUMBER.size :])
                        told[number] = job
                elif kind == Kind.OUTCOME:
                    self._end(number, host_pb2.Outcome.FromString(payload[NUMBER.size :]))
                else:
                    self._note(kind, number)
        except (BrokenFrame, DecodeError):  # nothing that it says can be told from the rest any more
            self._is_broken = True
            self.kill()
            self._loop.remove_reader(self._child.sock)
        for job in told.values():
            job.tell()

    def _end(self, number: int, outcome: host_pb2.Outcome) -> None:
        self._runs.pop(number, None)
        job = self.jobs.pop(number, None)
        if job is not None:
            job.end(outcome)
        self._stuck.discard(number)
        self._settle()

    def _note(self, kind: int, number: int) -> None:
        match kind:
            case Kind.BACK:
                job, run = self.jobs.pop(number, None), self._runs.pop(number, b"")
                self._stuck.discard(number)
                self._settle()
                if job is not None:
                    self._pool.again(job, run)
            case Kind.BLOCKED:
                self._is_blocked = True
            case Kind.UNBLOCKED:
                self._is_blocked = False
                self._has_begun = True
                self._watch_runs()
                self._settle()
            case Kind.LEFT:
                self._left.add(number)
                if len(self._left) > _LEFT_MAX:
                    self.is_draining = True
                    self._settle()
            case Kind.GONE:
                self._left.discard(number)

    def _watch_runs(self) -> None:
        """See in a while whether the oldest job that was sent has begun: a worker takes jobs up in order."""
        if self._take_up is None and self._has_begun and self._runs:
            self._take_up = self._loop.call_later(_TAKE_UP_S, self._look_at_run, next(iter(self._runs)))

    def _look_at_run(self, number: int) -> None:
        self._take_up = None
        self._is_late = number in self._runs
        self._watch_runs()

    # -- its end -------------------------------------------------------------------------------------------------

    def _overdue(self, number: int) -> None:
        """A job goes on that should not."""
        job = self.jobs.get(number)
        if job is None or not (job.cancelling or job.reported):
            return
        self._stuck.add(number)
        self.is_draining = True
        if self._drain is None:
            self._drain = self._loop.call_later(_DRAIN_S, self.kill)
        self._settle()

    def _settle(self) -> None:
        """End the worker if all that runs in it should not, or if it is not needed."""
        if len(self.jobs) == len(self._stuck) and (self.is_draining or self._pool.can_spare(self)):
            self.is_draining = True
            self.kill()

    def _finish(self, how: str) -> None:
        """The worker has gone, and every job in it: take what it has said before."""
        sock = self._child.sock
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        self.is_draining = True
        with contextlib.suppress(OSError):
            while not self._is_broken and (data := sock.recv(_READ_BYTES)):
                self._feed(data)
        for timer in (self._take_up, self._drain):
            if timer is not None:
                timer.cancel()
        self._pool.forget(self)
        self._child.close()
        self.room.set()
        jobs, self.jobs = self.jobs, {}
        for job in jobs.values():
            job.gone(f"the worker that it shared with other jobs {how}")


class Workers:
    """Starts workers, and chooses one for each job."""

    def __init__(self, zygote: Zygote) -> None:
        self._zygote = zygote
        self._workers: list[Worker] = []
        self._numbers = itertools.count(1)

    def run(self, job: RunningJob, run: host_pb2.Run) -> None:
        """Run a job.  Raises `OSError` if there are no descriptors for the worker that it needs."""
        self._choose().run(next(self._numbers), job, run.SerializeToString())

    def again(self, job: RunningJob, run: bytes) -> None:
        """Run a job that came back from a worker before it had begun."""
        if job.cancelling or job.reported:
            job.gone("")
            return
        try:
            self._choose().run(next(self._numbers), job, run)
        except OSError as error:
            job.gone(f"the worker for it could not be started: {error.strerror}")

    def can_spare(self, worker: Worker) -> bool:
        """Return whether another worker takes jobs."""
        return any(other is not worker and other.takes_jobs for other in self._workers)

    def forget(self, worker: Worker) -> None:
        """Know that a worker has ended."""
        self._workers.remove(worker)

    async def room(self) -> None:
        """Wait while a worker has too much to read, but not for one whose loop is blocked."""
        for worker in list(self._workers):
            if worker.takes_jobs and not worker.room.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TAKE_UP_S):
                        await worker.room.wait()

    def _choose(self) -> Worker:
        if found := [worker for worker in self._workers if worker.takes_jobs]:
            return min(found, key=lambda worker: len(worker.jobs))
        waiting = [worker for worker in self._workers if not worker.is_draining]
        if waiting and len(self._workers) >= _WORKERS_MAX:
            return min(waiting, key=lambda worker: len(worker.jobs))
        return self._start()

    def _start(self) -> Worker:
        worker = Worker(self._zygote.fork(ROLE_WORKER), self._zygote, self)
        self._workers.append(worker)
        return worker
