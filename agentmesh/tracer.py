"""`Tracer`: how a running job tells what it does.

A tracer hands each event to the function its process was given; in a process that the flow starts itself (a pool, a
Ray worker on this machine) a pickled tracer forwards its events to the job's process (`agentmesh._job.relay`).
"""

import asyncio
import concurrent.futures
import dataclasses
import json
from collections.abc import Callable, Coroutine
from typing import Any

from agentmesh import locks
from agentmesh._job import progress, relay, sayings, spans, steps
from agentmesh._job.steps import Steps
from agentmesh._job.tries import tried, tried_sync
from agentmesh._values.serialize import serialize
from agentmesh.errors import KodosumiError
from agentmesh.response import HTML, Text
from agentmesh.retries import ONCE, Retries, policy

_UNUSED_SHOWN = 10
Emit = Callable[[str, str], None]
"""Takes an event's kind and payload; thread-safe, synchronous, may block while too much is in flight."""
Settle = Callable[[], Coroutine[Any, Any, None]]
"""Lets others run, and waits while too much is in flight."""


class Tracer:
    """Sends events of one job.  Every method has a twin that ends in `_sync`, for code that is not `async`."""

    def __init__(
        self,
        fid: str,
        emit: Emit | relay.Sender,
        *,
        panel_url: str = "",
        jwt: str = "",
        app: Any = None,
        ask: locks.Ask | None = None,
        settle: Settle | None = None,
        later: progress.Later = progress.in_a_thread,
        finished: Steps | None = None,
        record: steps.Record = steps.unrecorded,
        file: relay.File | None = None,
        waits_on_loop: Callable[[], bool] = bool,
        traceparent: str = "",
        inside: str = spans.ROOT,
    ) -> None:
        """`settle` is awaited after each event; `later` calls something after some seconds.

        `file` sends what is wanted of the job's files; `waits_on_loop` says whether this is the thread in which the
        answers come.

        `finished` is what earlier attempts of the job have finished; `record` writes down what this one finishes.
        `traceparent` is the span that this attempt is, if somebody traces it, and `inside` the one in it that the first
        of ours are in.
        """
        self.fid = fid
        self.panel_url = panel_url
        self.jwt = jwt
        self._app = app
        self._ask = ask
        self._emit = emit if isinstance(emit, relay.Remote) else relay.Local(emit, file)
        self._waits_on_loop = waits_on_loop
        self._progress = progress.Throttle(lambda payload: self._emit("progress", payload), later=later)
        self._steps = finished or Steps()
        self._record = record
        self._spans = spans.Spans(self.emit, traceparent, inside)
        self.park_s: float | None = None
        """After how many seconds a job that only waits on a lock is parked; None: not by itself."""
        # A flow that only sends must not keep its other tasks from running.
        self._settle = settle or _breathe

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.fid, self._emit.ticket(), self.panel_url, self.jwt, *self._spans.ticket())

    def __copy__(self) -> "Tracer":
        return self

    def __deepcopy__(self, memo: Any) -> "Tracer":
        return self

    def emit(self, kind: str, payload: str) -> None:
        """Send an event as it is; the methods below are what a flow wants.

        Raises `ValueError` for a payload that is too large for an event (4 MiB).
        """
        self._emit(kind, payload.encode("utf-8", "replace").decode())

    def enter(self) -> None:
        """Know that the flow itself runs here; whoever runs it calls this in its task or thread."""
        self._steps.enter()

    def finish(self) -> None:
        """Send what is still kept back; whoever runs a flow calls it at the end."""
        self._progress.flush()

    def check_steps(self) -> None:
        """Say so if an attempt before has finished steps that this one did not take; called behind a flow."""
        if unused := self._steps.unused():
            shown = ", ".join(repr(name) for name in unused[:_UNUSED_SHOWN])
            self.emit("stderr", f"steps that an attempt before has finished were not taken this time: {shown}")

    async def _send(self, kind: str, *payloads: str) -> None:
        for payload in payloads:
            self.emit(kind, payload)
        await self._settle()

    async def debug(self, *message: str) -> None:
        """Send a line for developers."""
        await self._send("debug", sayings.lines(message))

    async def result(self, *message: Any) -> None:
        """Send an interim result: any value; one event for each argument."""
        await self._send("result", *map(serialize, message))

    async def action(self, *message: Any) -> None:
        """Send what the flow does now: any value; one event for each argument."""
        await self._send("action", *map(serialize, message))

    async def markdown(self, *message: str) -> None:
        """Send an interim result in Markdown; arguments are paragraphs."""
        await self._send("result", sayings.markdown(message))

    async def html(self, *message: str) -> None:
        """Send an interim result in HTML; arguments are lines."""
        await self._send("result", serialize(HTML(*message)))

    async def text(self, *message: str) -> None:
        """Send an interim result in plain text; arguments are lines."""
        await self._send("result", serialize(Text(*message)))

    async def warning(self, *message: str, exc_info: bool = False) -> None:
        """Send a line to stderr; with `exc_info` the exception being handled as well."""
        await self._send("stderr", sayings.warning(message, exc_info))

    async def progress(self, done: float, total: float | None = None, text: str = "") -> None:
        """Say how far the job has come: `done` of `total` things, and what it does now.

        At most ten a second are sent, the last one always.  Raises `ValueError` for what is no number.
        """
        self.progress_sync(done, total, text)
        await self._settle()

    async def usage(self, input_tokens: int = 0, output_tokens: int = 0, cost_micros: int = 0) -> None:
        """Say what a step has consumed: tokens of a model, and money in millionths; the mesh adds up the steps.

        Raises `ValueError` for what is no whole number, or negative.
        """
        self.usage_sync(input_tokens, output_tokens, cost_micros)
        await self._settle()

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        retries: Retries | int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return what `function(*args, **kwargs)` returns, and never call it again once that is in the job's log.

        It is on disk when this returns.  When the job is started again (after a crash, a lost host, a restart), a step
        that was finished gives its result at once; one that was not is done again, so a crash between the work and the
        record repeats the work.  A function that is not `async` runs in a thread; `retries` says how often and after
        what it is called again.  The result must be JSON, of at most 4 MiB, and 6 MiB with all others.  Of steps that
        run at the same time those of one name are told apart by the order in which they begin.

        Raises what the function raises, `TypeError` for a result that JSON cannot say, `KodosumiError` for one that is
        too large, and `StepsDiffer` if an attempt before took another step here.
        """
        turn = self._steps.begin(name)
        if turn.known is not None:
            await self._settle()
            return json.loads(turn.known)
        with self._steps.taking():
            await self._settle()
            known = steps.dumps(name, await tried(function, args, kwargs, policy(retries) or ONCE))
            self._steps.check_room(name, known)
            await asyncio.wrap_future(self._record(turn.finished(known)))
        return json.loads(known)

    def span(self, name: str, **attributes: Any) -> spans.Span:
        """Tell of a step, `with tracer.span("fetch", url=url) as span:`, in the trace of who started the job.

        Nothing is done unless an operator collects traces, and this job is traced.  `span.set(rows=3)` says more of
        it; an exception that leaves the block is told as well, and goes on.  At most a thousand spans are told.
        """
        return self._spans.span(name, attributes)

    @property
    def traceparent(self) -> str:
        """The span that the caller is in as a header for other systems (W3C trace context); empty if not traced."""
        return self._spans.traceparent

    async def lock(
        self,
        name: str,
        data: dict[str, Any] | None = None,
        timeout: float | None = None,
        *,
        park: bool | float | None = None,
    ) -> Any:
        """Ask a human with the form that `@app.lock(name)` makes of `data`, and wait for the answer.

        With `park` the job's process ends meanwhile, at once or after so many seconds, and the answer starts another
        attempt, which takes up the steps and answers that are recorded.  That is for flows that do nothing else
        meanwhile; while one of its steps is being taken, a job is not parked.  None is as `@app.flow(park_after_s=…)`
        says, and False never.

        Returns what the app's lease handler returns, or the answer's values if it has none.  Raises `LockExpired` (a
        `TimeoutError`) after `timeout` seconds, by default three hours, and `KodosumiError` if there is no such lock.
        """
        asked = await self._asked(name, data, timeout, park)
        await self._settle()
        return await asyncio.wrap_future(asked)

    async def _asked(
        self, name: str, data: dict[str, Any] | None, timeout: float | None, park: bool | float | None
    ) -> "concurrent.futures.Future[Any]":
        if self._ask is None:
            raise KodosumiError(f"lock {name!r}: locks are opened in the job's own process, not in one that it starts")
        if isinstance(park, bool):
            park = 0.0 if park else None
        elif park is None:
            park = self.park_s
        question = await locks.make(self._app, name, data, timeout)
        if park is not None:
            question = dataclasses.replace(question, park_s=park, may_park=lambda: not self._steps.running)
        return self._ask(question)

    async def fs(self) -> Any:
        """Open the files of the job: an `agentmesh.files.AsyncFileSystem`."""
        from agentmesh.files import AsyncFileSystem  # for who has files

        return AsyncFileSystem(self._emit.file)

    def debug_sync(self, *message: str) -> None:
        """See `debug`."""
        self.emit("debug", sayings.lines(message))

    def result_sync(self, *message: Any) -> None:
        """See `result`."""
        for value in message:
            self.emit("result", serialize(value))

    def action_sync(self, *message: Any) -> None:
        """See `action`."""
        for value in message:
            self.emit("action", serialize(value))

    def markdown_sync(self, *message: str) -> None:
        """See `markdown`."""
        self.emit("result", sayings.markdown(message))

    def html_sync(self, *message: str) -> None:
        """See `html`."""
        self.emit("result", serialize(HTML(*message)))

    def text_sync(self, *message: str) -> None:
        """See `text`."""
        self.emit("result", serialize(Text(*message)))

    def warning_sync(self, *message: str, exc_info: bool = False) -> None:
        """See `warning`."""
        self.emit("stderr", sayings.warning(message, exc_info))

    def progress_sync(self, done: float, total: float | None = None, text: str = "") -> None:
        """See `progress`."""
        self._progress.say(progress.payload(done, total, text))

    def usage_sync(self, input_tokens: int = 0, output_tokens: int = 0, cost_micros: int = 0) -> None:
        """See `usage`."""
        said = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cost_micros": cost_micros}
        for name, value in said.items():
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
                raise ValueError(f"usage: {name} must be a whole number that is not negative, got {value!r}")
        self.emit("usage", json.dumps(said, separators=(",", ":")))

    def step_sync(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        retries: Retries | int | None = None,
        **kwargs: Any,
    ) -> Any:
        """See `step`; the function is called in this thread.

        For code in a thread; an `async` flow awaits `step`, or `KodosumiError` tells it to.
        """
        if sayings.is_on_a_loop():
            raise KodosumiError(f"step {name!r}: an async flow would block itself here, use `await tracer.step(...)`")
        turn = self._steps.begin(name)
        known = turn.known
        if known is None:
            with self._steps.taking():
                known = steps.dumps(name, tried_sync(function, args, kwargs, policy(retries) or ONCE))
                self._steps.check_room(name, known)
                self._record(turn.finished(known)).result()
        return json.loads(known)

    def lock_sync(
        self,
        name: str,
        data: dict[str, Any] | None = None,
        timeout: float | None = None,
        *,
        park: bool | float | None = None,
    ) -> Any:
        """See `lock`.  For code in a thread; an `async` flow awaits `lock`, or `KodosumiError` tells it to."""
        if sayings.is_on_a_loop():
            raise KodosumiError(f"lock {name!r}: an async flow would block itself here, use `await tracer.lock(...)`")
        return asyncio.run(self._asked(name, data, timeout, park)).result()

    def fs_sync(self) -> Any:
        """See `fs`: an `agentmesh.files.SyncFileSystem`.

        Where jobs share a process, an `async` flow awaits `fs`, or `KodosumiError` tells it to.
        """
        from agentmesh.files import SyncFileSystem  # for who has files

        if self._waits_on_loop():
            raise KodosumiError("files: an async flow would block itself here, use `await tracer.fs()`")
        return SyncFileSystem(self._emit.file)


class TracerMock(Tracer):
    """A tracer that sends nothing: for tests of a flow.  `lock` answers `{}`, `fs` None."""

    def __init__(self, fid: str = "mock") -> None:
        super().__init__(fid, _nothing)

    def __reduce__(self) -> tuple[Any, ...]:
        return TracerMock, (self.fid,)

    async def lock(
        self,
        name: str,
        data: dict[str, Any] | None = None,
        timeout: float | None = None,
        *,
        park: bool | float | None = None,
    ) -> Any:
        """Answer `{}`."""
        return {}

    def lock_sync(
        self,
        name: str,
        data: dict[str, Any] | None = None,
        timeout: float | None = None,
        *,
        park: bool | float | None = None,
    ) -> Any:
        """Answer `{}`."""
        return {}

    def progress_sync(self, done: float, total: float | None = None, text: str = "") -> None:
        """Check what is said, and send nothing."""
        progress.payload(done, total, text)

    async def fs(self) -> Any:
        """Answer None."""
        return None

    def fs_sync(self) -> Any:
        """Answer None."""
        return None


def _restore(
    fid: str, ticket: relay.Ticket, panel_url: str, jwt: str, traceparent: str = "", inside: str = spans.ROOT
) -> Tracer:
    send = relay.redeem(ticket)
    return Tracer(
        fid, send, panel_url=panel_url, jwt=jwt, record=steps.elsewhere, traceparent=traceparent, inside=inside
    )


async def _breathe() -> None:
    await asyncio.sleep(0)


def _nothing(kind: str, payload: str) -> None:
    pass
