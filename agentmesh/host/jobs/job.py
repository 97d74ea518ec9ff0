"""The process of one job: waits for its Run, runs the flow, reports, exits.

It is a fork of the zygote, so the app is loaded already.  With `fork: false` it is a fresh interpreter
(`python -m agentmesh.host.jobs.job`) that loads the app first.

What a job needs is made before its Run is there: the event loop and, by a *rehearsal* of a job that does nothing, a
copy of every page of memory that a job writes to.
"""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from agentmesh._app.loading import LoadedApp, load
from agentmesh._job.execution import execute
from agentmesh._job.forked import Pool, part_loop
from agentmesh._job.progress import Throttle, in_a_thread
from agentmesh._job.redaction import NOTHING_SECRET, Redactor
from agentmesh.host.confine.limits import relieve
from agentmesh.host.jobs import carrying, ending
from agentmesh.host.jobs.capture import LineWriter, text_stream
from agentmesh.host.jobs.filing import Filing
from agentmesh.host.jobs.questions import Questions
from agentmesh.host.jobs.recording import Recording
from agentmesh.host.talk.frames import COUNT, Channel, Kind
from agentmesh.tracer import Tracer

Send = Callable[[Kind, bytes], None]


def main(channel: Channel, app: LoadedApp) -> NoReturn:
    """Take one Run from the channel and carry it out; ends the process."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(Pool(thread_name_prefix="asyncio"))
    rehearse(loop)
    stop = _Stop(loop)
    frame = channel.receive()
    if frame is None or frame[0] != Kind.RUN:
        os._exit(0)  # forked ahead and not needed
    run = host_pb2.Run.FromString(frame[1])
    os.environ["KODOSUMI_FID"] = run.job.removeprefix("jobs/")
    os.environ["KODOSUMI_USER_ID"] = run.owner.removeprefix("users/")
    pid = os.getpid()
    os.register_at_fork(after_in_child=lambda: _be_forked(channel, loop))
    listener = _Listener(channel)
    redactor = Redactor(run.secrets.values())
    questions = listener.questions = Questions(
        lambda opening: channel.send(Kind.LOCK, opening), listener.start, asked=run.asked, redactor=redactor
    )
    recording = listener.recording = Recording(
        lambda step: channel.send(Kind.STEP, step), listener.start, redactor=redactor
    )
    filing = listener.filing = Filing(lambda call: channel.send(Kind.FILE_CALL, call), listener.start)
    job = _Job(loop, run, app, channel.send, questions, recording, filing, redactor)
    sys.stdout, sys.stderr = job.out, job.err
    outcome = job.carry_out(stop.take, relieve)
    if os.getpid() != pid:
        os._exit(0)
    ending.wind_up(lambda late: _leave(channel, job, outcome, late))
    _leave(channel, job, outcome)


def _leave(channel: Channel, job: "_Job", outcome: host_pb2.Outcome, late: str = "") -> NoReturn:
    """Say how the job has ended, and end the process; `late` is for the author."""
    # A host that has gone takes the job with it, so there is nobody to tell then.
    with contextlib.suppress(OSError):
        if late:
            job.emit("stderr", late)
        channel.send(Kind.OUTCOME, outcome.SerializeToString())
    os._exit(0)  # not sys.exit: threads of the flow are not ours to wait for


def _be_forked(channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
    """In what a flow forks: it is no job, wherever it returns to."""
    channel.forked()
    part_loop(loop)


class _Stop:
    """A cancel, which arrives as SIGTERM: the flow sees CancelledError and may clean up until the host loses patience.

    One that comes before the flow's task is kept for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task: asyncio.Task[str] | None = None
        self._asked = False
        loop.add_signal_handler(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the hosts ignore it, flows need not
        # What the flow forks is no job: the signals of its own are not to wake our loop.
        os.register_at_fork(before=_hold_signals, after_in_parent=_take_signals, after_in_child=_restore_signals)

    def take(self, task: "asyncio.Task[str]") -> None:
        """Be the stop of `task`."""
        self._task = task
        if self._asked:
            task.cancel()

    def _ask(self) -> None:
        self._asked = True
        if self._task is not None:
            self._task.cancel()


_held = threading.local()


def _hold_signals() -> None:
    """What is sent to a fork before it has its own handling must wait: ours would wake the loop of the job."""
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))


def _take_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _take_signals()


class _Listener:
    """Hears what a job waits for, in a thread that is there from the first time on."""

    questions: Questions
    recording: Recording
    filing: Filing

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._is_listening = False

    def start(self) -> None:
        """Listen; nothing happens if that is so already."""
        with self._lock:
            known, self._is_listening = self._is_listening, True
        if not known:
            threading.Thread(target=self._listen, name="answers", daemon=True).start()

    def _listen(self) -> None:
        """Take in answers to locks, which steps are on disk, and what came of files, until the host has gone."""
        while (frame := self._channel.receive()) is not None:
            if frame[0] == Kind.LOCK_END:
                self.questions.end(host_pb2.LockEnd.FromString(frame[1]))
            elif frame[0] == Kind.KEPT:
                self.recording.kept(*COUNT.unpack(frame[1]))
            elif frame[0] == Kind.FILE_RESULT:
                self.filing.end(frame[1])


class _Job:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run: host_pb2.Run,
        app: LoadedApp,
        send: Send,
        questions: Questions,
        recording: Recording,
        filing: Filing,
        redactor: Redactor = NOTHING_SECRET,
    ) -> None:
        self._loop = loop
        self._run = run
        self._app = app
        self._send = send
        self._questions = questions
        self._recording = recording
        self._filing = filing
        self._pid = os.getpid()
        self._redactor = redactor
        drawn = Throttle(lambda payload: self.emit("progress", payload))
        self._lines = {
            kind: LineWriter(functools.partial(self._print, kind), drawn, in_a_thread) for kind in ("stdout", "stderr")
        }
        self.out = text_stream(self._lines["stdout"], "stdout", 1)
        self.err = text_stream(self._lines["stderr"], "stderr", 2)

    def emit(self, kind: str, payload: str) -> None:
        """Send one event; what comes after this line cannot lose it.

        Raises `ValueError` for a payload over 4 MiB.
        """
        self._send(Kind.EVENT, carrying.event(kind, self._redactor.text(payload)))

    def _print(self, kind: str, line: str) -> None:
        if os.getpid() == self._pid:
            self.emit(kind, line)
        else:  # in what the flow forks: as native code prints
            os.write(1 if kind == "stdout" else 2, line.encode("utf-8", "replace") + b"\n")

    def carry_out(self, begun: "Callable[[asyncio.Task[str]], None]", ended: Callable[[], None]) -> host_pb2.Outcome:
        """Run the flow to its end, whatever the end is; `begun` gets its task, and `ended` is called behind it."""
        self._send(Kind.RUNNING, b"")
        try:
            result = self._execute(begun, ended)
        except asyncio.CancelledError:
            outcome = host_pb2.Outcome(state=job_pb2.JOB_STATE_CANCELLED)
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a flow are ends like any other
            outcome = carrying.failure(error)
        else:
            outcome = carrying.success(result)
        for stream in (self.out, self.err):
            with contextlib.suppress(OSError, ValueError):  # a flow may have closed it
                stream.flush()
        with contextlib.suppress(OSError):
            for lines in self._lines.values():
                lines.finish()
        return carrying.without_secrets(outcome, self._redactor)

    def _execute(self, begun: "Callable[[asyncio.Task[str]], None]", ended: Callable[[], None]) -> str:
        run = self._run
        inputs = carrying.inputs_of(run)
        job_id = run.job.removeprefix("jobs/")
        tracer = Tracer(
            job_id,
            self.emit,
            panel_url=run.base_url,
            app=self._app.asgi,
            ask=self._questions.ask,
            finished=carrying.finished_of(run, self._redactor),
            record=self._recording.record,
            file=self._filing.ask,
            traceparent=run.traceparent,
        )
        flow = execute(run.entry_point, inputs, tracer, carrying.assignment_of(run))
        task = self._loop.create_task(flow, name="flow")
        begun(task)
        try:
            return self._loop.run_until_complete(task)
        finally:
            ended()


def rehearse(loop: asyncio.AbstractEventLoop) -> None:
    """Run a job that does nothing and of which nobody hears."""
    run = host_pb2.Run(job="jobs/rehearsal", entry_point=f"{__name__}:rehearsal", inputs_json='{"nobody": "hears"}')
    run = host_pb2.Run.FromString(run.SerializeToString())
    nothing = LoadedApp(_no_app, [])
    idle = (Questions(lambda opening: None), Recording(lambda step: None), Filing(lambda call: None))
    job = _Job(loop, run, nothing, _drop, *idle)
    job.carry_out(lambda task: None, lambda: None).SerializeToString()


def _drop(kind: Kind, payload: bytes) -> None:
    """Be the channel of a rehearsal."""


async def rehearsal(inputs: object, tracer: Tracer) -> dict[str, int]:
    """Be the flow of a rehearsal."""
    await tracer.debug("in rehearsal")
    return {"rehearsed": 1}


async def _no_app(scope: object, receive: object, send: object) -> None:
    """Be the app of a rehearsal."""


def spawned() -> NoReturn:
    """Run as `python -m agentmesh.host.jobs.job FD IMPORT_PATH`: load the app, then be a job."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    try:
        app = load(sys.argv[2])
    except BaseException as error:
        channel.receive()
        channel.send(Kind.OUTCOME, carrying.failure(error).SerializeToString())
        os._exit(0)
    main(channel, app)


if __name__ == "__main__":
    spawned()
