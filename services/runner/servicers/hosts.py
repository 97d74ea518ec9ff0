"""The runner's end of the hosts' streams."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import structlog
from agentmesh_protos.runner.v1 import host_pb2, host_pb2_grpc
from google.protobuf.message import DecodeError

from meshkit.errors import Denied, FailedPrecondition, Invalid, MeshError, NotFound, Unavailable
from meshkit.interceptors import Context
from meshkit.principal import caller
from services.runner import domain
from services.runner.callers.pace import Pace
from services.runner.domain import End, Lease, Reason, State
from services.runner.hosts.hostbadges import HostBadges, Renew
from services.runner.hosts.links import Hosts, Link
from services.runner.hosts.roll import Roll
from services.runner.jobs.filing import Filing
from services.runner.jobs.jobs import Jobs
from services.runner.report_wire import report_from_pb

log = structlog.get_logger()
_HELLO_S = 10.0
# Calls about files that one host may have under way; a host of ours has fewer.
_FILE_CALLS_MAX = 64
# Characters of what a host says it does before it loads its app.
_PREPARING_MAX = 200
# Reports of one host that may wait for the disk at once; beyond, its stream is not read (backpressure).
_REPORTS_MAX = 256
# The largest number that an acknowledgement can name.
_NUMBER_MAX = 2**63 - 1


class HostServicer(host_pb2_grpc.HostServiceServicer):
    """Carries work down and reports up."""

    def __init__(
        self,
        jobs: Jobs,
        hosts: Hosts,
        badges: HostBadges,
        pace: Pace,
        roll: Roll | None = None,
        *,
        filing: Filing,
        heartbeat_s: float,
        stopping: asyncio.Event,
    ) -> None:
        self._filing = filing
        self._jobs = jobs
        self._roll = roll
        self._said_s = None if roll is None else heartbeat_s
        """How long a host hears nothing of us, if it could go to another replica."""
        self._hosts = hosts
        self._badges = badges
        self._pace = pace
        self._heartbeat_s = heartbeat_s
        self._stopping = stopping

    async def Attach(
        self, request_iterator: AsyncIterator[host_pb2.AttachRequest], context: Context
    ) -> AsyncIterator[host_pb2.AttachResponse]:
        """Carry work down and reports up for as long as a host lives, or until it attaches anew.

        Raises `Invalid` and `FailedPrecondition` for a stream that does not keep to the protocol, `Denied` for the
        badge of another host, `NotFound` for a host that is not wanted any more: it ends then, and `Unavailable` when
        a report cannot be kept, or a newer stream has begun: it comes back then, and sends again what was not
        acknowledged.
        """
        requests = _readable(request_iterator)
        try:
            async with asyncio.timeout(_HELLO_S):
                first = await anext(requests)
        except (TimeoutError, StopAsyncIteration) as error:
            raise Invalid(f"say hello within {_HELLO_S:g} s", {"messages": ["must begin with a hello"]}) from error
        link, hello = await self._welcome(first)
        expected = link.jobs
        # What it holds, it says; what it was told and does not hold, it never heard.
        renewal = self._badges.renewals(link.host_id)
        stream = _Stream(self._jobs, self._pace, self._filing, link, link.attach(), renewal, self._roll)
        doors = "" if self._roll is None else self._roll.doors()
        welcome = host_pb2.Welcome(heartbeat_s=self._heartbeat_s, runner_address=doors)
        link.post(host_pb2.RunnerMessage(welcome=welcome))
        reader = asyncio.create_task(stream.read(first, hello, expected, requests), name=f"read-{link.host_id}")
        stopped = asyncio.create_task(self._stopping.wait(), name="stopping")
        stream.renew()
        outgoing = asyncio.create_task(link.outgoing(stream.generation), name="outgoing")
        ends = (reader, stopped, stream.failed)
        try:
            while True:
                done, _ = await asyncio.wait(
                    (outgoing, *ends), timeout=self._said_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:  # that we live
                    yield host_pb2.AttachResponse()
                    continue
                if stream.failed.done():
                    raise Unavailable("a report cannot be kept now: send again what is not acknowledged")
                if not outgoing.done():
                    break
                messages = outgoing.result()
                outgoing = asyncio.create_task(link.outgoing(stream.generation), name="outgoing")
                yield host_pb2.AttachResponse(messages=messages)
            if reader.done():
                reader.result()
        finally:
            tasks = (outgoing, reader, stopped)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if link.generation == stream.generation:
                link.detach()

    async def _welcome(self, first: host_pb2.AttachRequest) -> tuple[Link, host_pb2.Hello]:
        if not first.messages or first.messages[0].WhichOneof("message") != "hello":
            raise Invalid("the first message must be a Hello", {"messages": ["must begin with a hello"]})
        hello = first.messages[0].hello
        if hello.protocol != 1:
            raise FailedPrecondition(f"protocol {hello.protocol} is not spoken here: use 1")
        if caller().host != hello.host_id:
            raise Denied("the badge belongs to another host")
        if self._roll is not None:
            return await self._roll.take_up(hello), hello
        link = self._hosts.links.get(hello.host_id)
        if link is None or link.expose != hello.expose:
            raise NotFound(f"host {hello.host_id} is not wanted any more")
        return link, hello


async def _readable(requests: AsyncIterator[host_pb2.AttachRequest]) -> AsyncIterator[host_pb2.AttachRequest]:
    """Yield the requests of a stream.  Raises `Invalid` for bytes that are none; gRPC by itself would say UNKNOWN."""
    try:
        async for request in requests:
            yield request
    except DecodeError as error:
        raise Invalid("what was sent is no AttachRequest") from error


class _Stream:
    """One stream of one host."""

    def __init__(
        self,
        jobs: Jobs,
        pace: Pace,
        filing: Filing,
        link: Link,
        generation: int,
        renewal: Renew,
        roll: Roll | None = None,
    ) -> None:
        self._filing = filing
        self._file_calls = 0
        self._roll = roll
        self._jobs = jobs
        self._pace = pace
        self._link = link
        self.generation = generation
        self._renewal = renewal
        self._reports: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when a report could not be kept: what comes behind it must not be kept either."""

    def renew(self) -> None:
        """Give the host a new badge, if that is due."""
        if (renewal := self._renewal()) is not None:
            self._link.post(renewal)

    async def read(
        self,
        first: host_pb2.AttachRequest,
        hello: host_pb2.Hello,
        expected: set[str],
        requests: AsyncIterator[host_pb2.AttachRequest],
    ) -> None:
        """Take the first request, settle who holds what, then take the rest until the stream ends."""
        try:
            for message in first.messages[1:]:
                await self._take(message)
            if self._reports:  # what it resends may end jobs that it no longer holds
                await asyncio.wait(self._reports)
            leases = {lease.job.removeprefix("jobs/"): lease.epoch for lease in hello.leases}
            await self._jobs.reclaim(self._link, expected, leases)
            async for request in requests:
                if self._is_over():
                    return
                self._link.seen_at = time.monotonic()
                self.renew()
                for message in request.messages:
                    await self._take(message)
        finally:
            # What was read is kept, whatever becomes of the stream: the host will not know, and resend.
            if self._reports:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait(set(self._reports), timeout=1)

    def _is_over(self) -> bool:
        """Return whether a newer stream has begun, and this one is being ended."""
        return self._link.generation != self.generation

    async def _take(self, message: host_pb2.HostMessage) -> None:
        if self._is_over():
            return
        match message.WhichOneof("message"):
            case "report":
                while len(self._reports) >= _REPORTS_MAX:
                    await asyncio.wait(self._reports, return_when=asyncio.FIRST_COMPLETED)
                # Tasks start in order and queue their write in their first step: the log keeps the host's order, and
                # many reports share one commit.
                self._spawn(self._keep(message.report))
            case "call_result":
                self._link.answer(message.call_result.call_id, message.call_result)
            case "call_part":
                self._link.hear(message.call_part)
            case "ask_result":
                self._link.answer(message.ask_result.ask_id, message.ask_result)
            case "file_call":
                self._file(message.file_call)
            case "lock_check":
                self._link.answer(message.lock_check.check_id, message.lock_check)
            case "preparing":
                if not self._link.loaded.done():
                    self._link.prepares(message.preparing.message[:_PREPARING_MAX])
            case "loaded":
                if not self._link.loaded.done():
                    self._link.loaded.set_result(message.loaded)
                if self._roll is not None:  # said on every stream: it may not have been written down before
                    await self._roll.loaded(self._link, message.loaded)

    def _file(self, call: host_pb2.FileCall) -> None:
        """Do what a job wants of its files, beside what the host says next."""
        if self._file_calls >= _FILE_CALLS_MAX:
            busy = host_pb2.FileResult(job=call.job, epoch=call.epoch, call_id=call.call_id, error="too much at once")
            busy.trouble = host_pb2.FILE_TROUBLE_UNAVAILABLE
            self._link.post(host_pb2.RunnerMessage(file_result=busy))
            return
        self._file_calls += 1
        self._filing.tasks.spawn(self._answer_file(call), "file-call")

    async def _answer_file(self, call: host_pb2.FileCall) -> None:
        try:
            result = await self._filing.answer(self._link.host_id, call)
        finally:
            self._file_calls -= 1
        if not self._is_over():  # else the host asks again on its newer stream
            self._link.post(host_pb2.RunnerMessage(file_result=result))

    async def _keep(self, report: host_pb2.Report) -> None:
        if self.failed.done():
            return
        job_id, holder = report.job.removeprefix("jobs/"), Lease(self._link.host_id, report.epoch)
        owner = self._link.slots.owner_of(job_id)
        delay_s = 0.0
        try:
            said = report_from_pb(report)
            kept = await self._jobs.report(job_id, holder, report.source_seq, said)
            if kept:
                delay_s = self._pace.delay_s(owner, said.events)
        except domain.Gap:
            if self.failed.done():  # it came behind one that could not be kept: both come again
                return
            log.warning("a host leaves out reports", host=self._link.host_id, job=job_id)
            if not await self._break_off(job_id, holder, domain.lost("its host left out what the job had said")):
                return
            kept = False
        except Unavailable:  # of none: what comes behind it must not be kept either
            if not self.failed.done():
                self.failed.set_result(None)
            return
        except Exception as error:  # of this job alone: sent again, it would fail again, and hold up all others
            log.exception("report not kept: its job is ended", host=self._link.host_id, job=job_id)
            why = str(error) if isinstance(error, MeshError) else "what the job said could not be kept"
            if not await self._break_off(job_id, holder, End(state=State.FAILED, reason=Reason.ERROR, error=why)):
                return
            kept = False
        one_more = report.HasField("outcome") or report.HasField("lock") or report.HasField("step")
        last = min(report.source_seq + len(report.events) - 1 + one_more, _NUMBER_MAX)
        ack = host_pb2.Ack(job=report.job, source_seq=last, stale=not kept)
        if delay_s:  # whoever hears it, and on whatever stream: it is true
            message = host_pb2.RunnerMessage(ack=ack)
            asyncio.get_running_loop().call_later(delay_s, self._link.post, message)
        else:
            self._link.post(host_pb2.RunnerMessage(ack=ack))

    async def _break_off(self, job_id: str, holder: Lease, end: End) -> bool:
        """End a job whose report cannot be kept; return False, and end the stream, while the store is away."""
        try:
            await self._jobs.break_off(job_id, holder, end)
        except Unavailable:
            if not self.failed.done():
                self.failed.set_result(None)
            return False
        except Exception:
            log.exception("a job cannot be ended", host=self._link.host_id, job=job_id)
        return True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
