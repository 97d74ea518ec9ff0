"""One job among others in a worker: its task, all that the task starts, and what it says."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TextIO

from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from agentmesh._job import scope
from agentmesh._job.execution import execute
from agentmesh._job.progress import Throttle
from agentmesh._job.redaction import NOTHING_SECRET, Redactor
from agentmesh.errors import KodosumiError
from agentmesh.host.jobs import carrying
from agentmesh.host.jobs.capture import LineWriter, text_stream
from agentmesh.host.jobs.filing import Filing
from agentmesh.host.jobs.questions import Questions
from agentmesh.host.jobs.recording import Recording
from agentmesh.host.own.started import Started
from agentmesh.host.talk.frames import Kind, pack_for
from agentmesh.host.talk.outgoing import Outgoing, Talk
from agentmesh.tracer import Tracer

_CANCEL_AGAIN_S = 1.0
# How long processes that it has started may take to die, and how often that is looked at.
_CHILDREN_S = 10.0
_CHILDREN_LOOK_S = 0.003
_STREAMS = {"stdout": 1, "stderr": 2}


class Surroundings(Protocol):
    """What a job needs of its worker."""

    loop: asyncio.AbstractEventLoop
    outgoing: Outgoing
    started: Started
    app: Any
    """The ASGI app, whose lock handlers a job's tracer calls."""

    def later(self, delay_s: float, call: Callable[[], None], /) -> None:
        """Call something after some seconds, from any thread."""

    def is_here(self) -> bool:
        """Return whether this is the thread of the loop."""

    def claim(self, job: "SharedJob") -> bool:
        """Begin a job, or return False if it was given back to the host."""

    def ended(self, job: "SharedJob") -> None:
        """Hear that a job has said its last word."""


class SharedJob:
    """Its life on the worker's loop.

    The job has ended when its task has, and its outcome goes out then; what the task has left behind is cancelled.  One
    that was cancelled has ended when nothing of it runs any more: no task, and no call in a thread.
    """

    __slots__ = (
        "_cancelled",
        "_filing",
        "_gate",
        "_has_left",
        "_lines",
        "_main",
        "_outcome",
        "_parts",
        "_questions",
        "_recording",
        "_redactor",
        "_run",
        "_streams",
        "_talk",
        "_worker",
        "begun",
        "entry_point",
        "given_back",
        "job",
        "number",
        "over",
    )

    def __init__(self, number: int, run: host_pb2.Run, worker: Surroundings) -> None:
        self.number = number
        self.job = run.job
        self.entry_point = run.entry_point
        self._run: host_pb2.Run | None = run
        self._redactor = Redactor(run.secrets.values()) if run.secrets else NOTHING_SECRET
        self._worker = worker
        self._talk = Talk()
        self._parts: set[Any] = set()
        """What it has started: tasks, and calls in threads, that are not done."""
        self._main: asyncio.Task[None] | None = None
        # What became of a lock that was open before may come ahead of the question.
        self._questions = self._questions_of(run.asked) if run.asked else None
        self._recording = Recording(self._send_step, redactor=self._redactor)
        self._filing: Filing | None = None
        self._streams: dict[str, TextIO] | None = None
        self._lines: list[LineWriter] = []
        """Below the streams."""
        self._outcome: host_pb2.Outcome | None = None
        self._cancelled = False
        self._gate: concurrent.futures.Future[None] | None = None
        """While it is paused: done when it may go on."""
        self._has_left = False
        self.begun = False
        self.given_back = False
        """Whether it was given back to the host before it had begun: another worker runs it."""
        self.over = False
        """Whether its last word is said."""

    def start(self) -> None:
        """Make its task."""
        context = contextvars.copy_context()
        context.run(scope.job.set, self)
        self._main = self._worker.loop.create_task(self._carry_out(), context=context)
        self._main.add_done_callback(self._main_done)

    # -- what it is told -----------------------------------------------------------------------------------------

    def cancel(self, grace_s: float) -> None:
        """Cancel its task, and again once the grace is over, with all else that is its own."""
        if not self._cancelled and not self.over:
            self._cancelled = True
            self._cancel_main()
            if self._questions is not None:
                self._questions.abandon()
            self._recording.abandon()
            if self._filing is not None:
                self._filing.abandon()
            self.resume()
            self._worker.loop.call_later(grace_s, self._cancel_again)

    def _cancel_again(self) -> None:
        if not self.over:
            self._cancel_main()
            self._cancel_parts()
            self._worker.loop.call_later(_CANCEL_AGAIN_S, self._cancel_again)

    def _cancel_main(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def end_lock(self, end: host_pb2.LockEnd) -> None:
        """Hand over what became of a lock."""
        if self._questions is not None:
            self._questions.end(end)

    def file_result(self, result: bytes) -> None:
        """Hand over what came of what it wanted of its files."""
        if self._filing is not None:
            self._filing.end(result)

    def keep(self, count: int) -> None:
        """Know that so many more of its steps are on disk."""
        self._recording.kept(count)

    def pause(self) -> None:
        """Have it wait: its tasks in the tracer's methods, its threads with what they say next."""
        if self._gate is None and not self._cancelled:
            self._gate = concurrent.futures.Future()

    def resume(self) -> None:
        """Let it go on."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.set_result(None)

    def hold(self) -> None:
        """Send no more of what it says."""
        self._worker.outgoing.hold(self._talk)

    def go_on(self) -> None:
        """Send again."""
        self._worker.outgoing.go_on(self._talk)

    # -- what it says --------------------------------------------------------------------------------------------

    def emit(self, kind: str, payload: str, *, patient: bool = True) -> None:
        """Send one event, from any thread.

        Raises `ValueError` for a payload over 4 MiB, and `KodosumiError` if the job is over or has said too much.
        """
        if self.over:
            raise KodosumiError("the job has ended: it says nothing any more")
        if (gate := self._gate) is not None and patient and not self._worker.is_here():
            gate.result()
        data = pack_for(self.number, Kind.EVENT, carrying.event(kind, self._redactor.text(payload)))
        self._worker.outgoing.say(self._talk, data, patient=patient)

    def output(self, kind: str) -> TextIO:
        """Return what takes its `stdout` or `stderr`."""
        if self._streams is None:
            later = self._worker.later
            drawn = Throttle(lambda payload: self.emit("progress", payload), later=later)
            self._lines = [LineWriter(functools.partial(self._line, name), drawn, later) for name in _STREAMS]
            self._streams = {
                name: text_stream(lines, name, fd)
                for lines, (name, fd) in zip(self._lines, _STREAMS.items(), strict=True)
            }
        return self._streams[kind]

    def _line(self, kind: str, line: str) -> None:
        if not self.over:  # what is printed by what it left behind is nobody's
            self.emit(kind, line)

    async def _settle(self) -> None:
        while (gate := self._gate) is not None:
            await asyncio.shield(asyncio.wrap_future(gate))
        await self._worker.outgoing.settle(self._talk)

    def _ask(self, question: Any) -> Any:
        if self._questions is None:
            self._questions = self._questions_of(())
        return self._questions.ask(question)

    def _questions_of(self, asked: Iterable[host_pb2.AskedLock]) -> Questions:
        return Questions(self._open_lock, asked=asked, redactor=self._redactor, later=self._worker.later)

    def _ask_file(self, call: bytes) -> "concurrent.futures.Future[bytes]":
        if self._filing is None:
            self._filing = Filing(self._send_file_call)
        return self._filing.ask(call)

    def _send_file_call(self, call: bytes) -> None:
        self._worker.outgoing.say(self._talk, pack_for(self.number, Kind.FILE_CALL, call))

    def _send_step(self, step: bytes) -> None:
        self._worker.outgoing.say(self._talk, pack_for(self.number, Kind.STEP, step))

    def _open_lock(self, opening: bytes) -> None:
        self._worker.outgoing.say(self._talk, pack_for(self.number, Kind.LOCK, opening))

    # -- its life ------------------------------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        run, self._run = self._run, None
        if run is None or not self._worker.claim(self):
            return
        self._worker.outgoing.put(pack_for(self.number, Kind.RUNNING))
        try:
            tracer = Tracer(
                run.job.removeprefix("jobs/"),
                self.emit,
                panel_url=run.base_url,
                app=self._worker.app,
                ask=self._ask,
                settle=self._settle,
                later=self._worker.later,
                finished=carrying.finished_of(run, self._redactor),
                record=self._recording.record,
                file=self._ask_file,
                waits_on_loop=self._worker.is_here,
                traceparent=run.traceparent,
            )
            inputs = carrying.inputs_of(run)
            entry_point, assignment = run.entry_point, carrying.assignment_of(run)
            del run  # a job that waits need not keep its inputs twice
            self._outcome = carrying.success(await execute(entry_point, inputs, tracer, assignment))
        except asyncio.CancelledError:
            self._outcome = host_pb2.Outcome(state=job_pb2.JOB_STATE_CANCELLED)
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a flow are ends like any other
            self._outcome = carrying.failure(error)

    def add(self, part: Any) -> bool:
        """Know of a task, or a call in a thread, that was started in its context; False for its own task."""
        if self._main is None:
            return False
        self._parts.add(part)
        return True

    def owns(self, task: "asyncio.Task[Any]") -> bool:
        """Return whether a task is its own."""
        return task is self._main or task in self._parts

    def done(self, part: Any) -> None:
        """Hear that what it has started is done."""
        self._parts.discard(part)
        self._look_for_end()

    def _main_done(self, main: "asyncio.Task[None]") -> None:
        """The flow has ended: say so, unless it was told to stop and something of it goes on."""
        self._cancel_parts()
        if not self._cancelled:
            self._last_word()
            if self._parts:
                self._has_left = True
                self._worker.outgoing.put(pack_for(self.number, Kind.LEFT))
        self._look_for_end()

    def _look_for_end(self) -> None:
        if self._main is not None and self._main.done() and not self._parts:
            self._last_word()
            if self._has_left:
                self._worker.outgoing.put(pack_for(self.number, Kind.GONE))
            self._worker.ended(self)

    def _cancel_parts(self) -> None:
        for part in list(self._parts):
            part.cancel()

    def _last_word(self) -> None:
        if self.over:
            return
        for stream in (self._streams or {}).values():
            with contextlib.suppress(KodosumiError, ValueError):  # it has said too much already, or closed it
                stream.flush()
        for lines in self._lines:
            with contextlib.suppress(KodosumiError):
                lines.finish()
        self.go_on()
        self.over = True
        # Without an outcome it was cancelled ahead of its first step.
        outcome = self._outcome or host_pb2.Outcome(state=job_pb2.JOB_STATE_CANCELLED)
        outcome = carrying.without_secrets(outcome, self._redactor)
        if self._worker.claim(self):
            said = pack_for(self.number, Kind.OUTCOME, outcome.SerializeToString())
            self._say_end(said, self._worker.loop.time() + _CHILDREN_S)

    def _say_end(self, said: bytes, until: float) -> None:
        """Say how it has ended once the processes that it has started have, too."""
        loop = self._worker.loop
        if self._worker.started.kill(self) and loop.time() < until:
            loop.call_later(_CHILDREN_LOOK_S, self._say_end, said, until)
        else:
            self._worker.outgoing.put(said)


def blocked_by(frame: Any) -> SharedJob | None:
    """Return the job in whose context a loop's thread runs, by the thread's innermost frame."""
    handle_run = asyncio.events.Handle._run.__code__
    while frame is not None and frame.f_code is not handle_run:
        frame = frame.f_back
    context = getattr(frame.f_locals.get("self"), "_context", None) if frame is not None else None
    found = context.get(scope.job) if context is not None else None
    return found if isinstance(found, SharedJob) else None
