"""The worker of an app's jobs that share a process: each is a task on its loop.

It is a fork of the zygote, or with `fork: false` a fresh interpreter (`python -m agentmesh.host.jobs.worker`).  It is
for flows that wait most of the time: a job that waits costs some kilobytes.  What differs from a process per job:

- `KODOSUMI_FID` and `KODOSUMI_USER_ID` are not in the environment, which is everybody's; `tracer.fid` has the id.
- What a job prints is its own where context variables follow: in its tasks and in `asyncio.to_thread`.  What threads of
  its own, native code and subprocesses write goes to the host's log.
- A flow that is not `async` runs in a pool of threads, `AGENTMESH_SHARED_THREADS` of them (64); more wait for one.
- What blocks the loop blocks every job in it.  After a second it is named, in the log and in the job's own stderr; jobs
  that have not begun go back to the host, which starts another worker.
- The processes that a job has started end with it, where Python has started them; what those have left behind ends when
  no job is there any more, and with the worker.
- A cancel is `CancelledError`.  A job that swallows it is told again; one that still goes on, or is in a thread, is
  ended with the worker once nothing else runs there.
"""

import asyncio
import concurrent.futures
import contextlib
import itertools
import os
import socket
import sys
import threading
import traceback
import types
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh._app.loading import LoadedApp, load
from agentmesh._job import scope
from agentmesh._job.forked import Pool, end_at_loop
from agentmesh.errors import hide_paths
from agentmesh.host.jobs import carrying, streams
from agentmesh.host.jobs.shared_job import SharedJob, blocked_by
from agentmesh.host.jobs.watchdog import Watchdog
from agentmesh.host.own.started import Started
from agentmesh.host.talk.frames import COUNT, GRACE, NUMBER, Channel, Kind, Splitter, pack_for
from agentmesh.host.talk.outgoing import Outgoing

_THREADS = 64
_READ_BYTES = 512 * 1024
_STACK_FRAMES = 12
_CHILDREN_LOOK_S = 1.0
_all_tasks = asyncio.all_tasks


def main(sock: socket.socket, app: LoadedApp) -> NoReturn:
    """Run jobs until the host closes the socket; ends the process."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = _Worker(loop, sock, app)
    streams.keep_apart()
    asyncio.all_tasks = asyncio.tasks.all_tasks = worker.tasks_of_job
    os.register_at_fork(after_in_child=worker.forked)
    worker.started.watch()
    while True:
        try:
            worker.serve()
        except (SystemExit, KeyboardInterrupt):  # of a task that a flow has started: an end of that task only
            continue


class _Worker:
    """Keeps jobs by number, and the socket that they share."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, app: LoadedApp) -> None:
        self.loop = loop
        self.app = app.asgi
        self._thread = threading.get_ident()
        self._sock = sock
        sock.setblocking(False)
        self.outgoing = Outgoing(loop, sock, _leave)
        self.started = Started(scope.job.get)
        self._look: asyncio.TimerHandle | None = None
        self._splitter = Splitter()
        self._jobs: dict[int, SharedJob] = {}
        self._reading = threading.Lock()
        self._claims = threading.Lock()
        self._watchdog = Watchdog(loop, self)
        self._blocking: SharedJob | None = None
        threads = int(os.environ.get("AGENTMESH_SHARED_THREADS") or _THREADS)
        loop.set_default_executor(_Pool(loop, threads))
        loop.set_task_factory(_make_task)  # type: ignore[arg-type]  # typeshed has it without options
        loop.add_reader(sock, self._read)
        self._watchdog.start()
        self.outgoing.send(pack_for(0, Kind.UNBLOCKED))

    def serve(self) -> None:
        """Run the loop."""
        self.loop.run_forever()

    def forked(self) -> None:
        """In what a flow forks: what it prints is not ours to send, and it ends when it comes back to our loop."""
        scope.job.set(None)
        self.outgoing.forked()
        self._sock.close()
        end_at_loop(self.loop, _leave)

    def tasks_of_job(self, loop: asyncio.AbstractEventLoop | None = None) -> "set[asyncio.Task[Any]]":
        """Be `asyncio.all_tasks`: a job that cancels all tasks, as `asyncio.run` does at its end, means its own."""
        found = _all_tasks(loop)
        job: SharedJob | None = scope.job.get()
        if job is None or (loop or asyncio.get_running_loop()) is not self.loop:
            return found
        return {task for task in found if job.owns(task)}

    def is_here(self) -> bool:
        """Return whether this is the thread of the loop."""
        return threading.get_ident() == self._thread

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call something after some seconds; thread-safe."""
        self.loop.call_soon_threadsafe(self.loop.call_later, delay_s, call)

    # -- from the host -------------------------------------------------------------------------------------------

    def _read(self) -> None:
        with self._reading:
            try:
                data = self._sock.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                _leave()
            frames = list(self._splitter.feed(data))
        for kind, payload in frames:
            self._obey(kind, payload)

    def _obey(self, kind: int, payload: bytes) -> None:
        (number,) = NUMBER.unpack_from(payload)
        body = payload[NUMBER.size :]
        if kind == Kind.RUN:
            job = self._jobs[number] = SharedJob(number, host_pb2.Run.FromString(body), self)
            self._watchdog.set_busy(True)
            job.start()
            return
        known = self._jobs.get(number)
        if known is None:
            return
        match kind:
            case Kind.CANCEL:
                known.cancel(*GRACE.unpack(body))
            case Kind.LOCK_END:
                known.end_lock(host_pb2.LockEnd.FromString(body))
            case Kind.PAUSE:
                known.pause()
            case Kind.RESUME:
                known.resume()
            case Kind.FILE_RESULT:
                known.file_result(body)
            case Kind.KEPT:
                known.keep(*COUNT.unpack(body))
            case Kind.HOLD:
                known.hold()
            case Kind.GO_ON:
                known.go_on()

    # -- of jobs -------------------------------------------------------------------------------------------------

    def claim(self, job: SharedJob) -> bool:
        """Begin a job, or return False if it was given back to the host."""
        with self._claims:
            if not job.given_back:
                job.begun = True
            return job.begun

    def ended(self, job: SharedJob) -> None:
        """Forget a job of which nothing runs any more."""
        self._jobs.pop(job.number, None)
        if self._look is None and self.started.any:
            self._look = self.loop.call_later(_CHILDREN_LOOK_S, self._look_at_children)
        if not self._jobs:
            self._watchdog.set_busy(False)

    def _look_at_children(self) -> None:
        """See to what jobs have left behind."""
        self._look = None
        if self.started.look_around(idle=not self._jobs):
            self._look = self.loop.call_later(_CHILDREN_LOOK_S, self._look_at_children)

    # -- a blocked loop: called in the watchdog's thread ---------------------------------------------------------

    def blocked(self, frame: types.FrameType, for_s: float) -> None:
        """Name the job that blocks the loop, and give back those that have not begun."""
        job = self._blocking = blocked_by(frame)
        stack = hide_paths(
            "".join(traceback.StackSummary.extract(_inner(frame), limit=-_STACK_FRAMES).format()).rstrip()
        )
        who = f"{job.job} ({job.entry_point})" if job is not None else "something"
        _log(f"{who} blocks the loop of its worker:\n{stack}")
        if job is not None:
            self._tell(
                job,
                f"{job.entry_point} has blocked the event loop for {for_s:.1f} s, and with it each job of its worker.  "
                "Await what takes time, call it in `asyncio.to_thread`, or give the flow processes of its own with "
                f'isolation="process".  It is here:\n{stack}',
            )
        self.outgoing.send(pack_for(job.number if job is not None else 0, Kind.BLOCKED))
        for other in list(self._jobs.values()):
            with self._claims:
                if other.begun or other.given_back:
                    continue
                other.given_back = True
            self.outgoing.send(pack_for(other.number, Kind.BACK))
        self.still_blocked()

    def still_blocked(self) -> None:
        """Read for the loop: what is to begin goes back, what a job is told waits for the loop."""
        with self._reading:
            try:
                frames = list(self._splitter.feed(self._sock.recv(_READ_BYTES)))
            except OSError:
                return
        for kind, payload in frames:
            (number,) = NUMBER.unpack_from(payload)
            job = self._jobs.get(number)
            match kind:
                case Kind.RUN:
                    self.outgoing.send(pack_for(number, Kind.BACK))
                case Kind.HOLD if job is not None:
                    job.hold()
                case Kind.GO_ON if job is not None:
                    job.go_on()
                case _:
                    self.loop.call_soon_threadsafe(self._obey, kind, payload)

    def unblocked(self, for_s: float) -> None:
        """Say that the loop goes on."""
        job, self._blocking = self._blocking, None
        _log(f"the loop goes on after {for_s:.1f} s")
        if job is not None:
            self._tell(job, f"the event loop goes on, after {for_s:.1f} s")
        self.outgoing.send(pack_for(0, Kind.UNBLOCKED))

    def _tell(self, job: SharedJob, text: str) -> None:
        with contextlib.suppress(Exception):  # it has ended, or says more than it may: the log has it
            job.emit("stderr", text, patient=False)


class _Pool(Pool):
    """The loop's threads; a call belongs to the job that makes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="flow")
        self._loop = loop

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[Any]":
        """As of an executor."""
        future = super().submit(fn, *args, **kwargs)
        job: SharedJob | None = scope.job.get()
        if job is not None and job.add(future):
            future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(job.done, done))
        return future


def _make_task(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any) -> "asyncio.Task[Any]":
    """Make a task; it belongs to the job that makes it."""
    task = asyncio.Task(coro, loop=loop, **options)
    context = options.get("context")
    job: SharedJob | None = scope.job.get() if context is None else context.get(scope.job)
    if job is not None and job.add(task):
        task.add_done_callback(job.done)
    return task


def _inner(frame: types.FrameType) -> Any:
    """Yield the frames of a loop's thread that are the flow's, the innermost last, with their lines."""
    run = asyncio.events.Handle._run.__code__
    walked = []
    at: types.FrameType | None = frame
    while at is not None and at.f_code is not run:
        walked.append((at, at.f_lineno))
        at = at.f_back
    return itertools.dropwhile(lambda item: _is_ours(item[0]), reversed(walked))


def _is_ours(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("agentmesh.")


def _log(text: str) -> None:
    """Write a line to the host's log, past Python's streams: what a flow forks meanwhile would find them locked."""
    with contextlib.suppress(OSError):  # a flow has closed the descriptor
        os.write(2, f"worker: {text}\n".encode("utf-8", "replace"))


def _leave() -> NoReturn:
    """The host has gone, and takes its jobs with it; or this is a fork of the worker, and no worker."""
    os._exit(0)


def spawned() -> NoReturn:
    """Run as `python -m agentmesh.host.jobs.worker FD IMPORT_PATH`: load the app, then be a worker."""
    streams.install()
    sock = socket.socket(fileno=int(sys.argv[1]))
    try:
        app = load(sys.argv[2])
    except BaseException as error:
        _fail_all(Channel(sock), carrying.failure(error).SerializeToString())
    main(sock, app)


def _fail_all(channel: Channel, outcome: bytes) -> NoReturn:
    """The app cannot be loaded: say so of every job."""
    while (frame := channel.receive()) is not None:
        if frame[0] == Kind.RUN:
            channel.send(Kind.OUTCOME, frame[1][: NUMBER.size] + outcome)
    _leave()


if __name__ == "__main__":
    spawned()
