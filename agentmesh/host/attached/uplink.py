"""What a host has to say to the runner, cut into messages for the stream.

A job that talks without pause is heard in large pieces, for each costs the runner a write of its own.  The first words
of a job, its locks and its end go out at once; that a job runs waits a moment for what comes next, which says it as
well.
"""

import asyncio
import collections
import contextlib

from agentmesh_protos.runner.v1 import host_pb2
from google.protobuf.message import DecodeError

from agentmesh.host.attached.running import RunningJob

_BATCH_BYTES_MAX = 4 * 1024 * 1024
_GAP_S = 0.002


class Uplink:
    """Gathers messages, and jobs that have something to report."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._messages: collections.deque[host_pb2.HostMessage] = collections.deque()
        self._again: collections.deque[host_pb2.Report] = collections.deque()
        """What was sent on an earlier stream, and not acknowledged there."""
        self._talking: dict[RunningJob, None] = {}
        """Jobs with something to report, in the order in which they began to."""
        self._begun: list[RunningJob] = []
        """Jobs of which nothing is known yet but that they run."""
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._sent_at = 0.0

    def post(self, message: host_pb2.HostMessage) -> None:
        """Say something."""
        self._messages.append(message)
        self._hurry()

    def talk(self, job: RunningJob) -> None:
        """Have what a job has gathered reported."""
        if job.reports.only_begun:
            if not self._begun:
                self._loop.call_later(_GAP_S, self._tell_begun)
            self._begun.append(job)
            return
        self._talking[job] = None
        self._wake.set()
        if job.reports.urgent:
            self._urgent.set()

    def _tell_begun(self) -> None:
        begun, self._begun = self._begun, []
        for job in begun:
            if job.reports.only_begun:
                self._talking[job] = None
        self._hurry()

    def _hurry(self) -> None:
        self._wake.set()
        self._urgent.set()

    def begin(self, messages: list[host_pb2.HostMessage], jobs: list[RunningJob]) -> None:
        """Start on a new stream with `messages`, and with what of the jobs' reports was not acknowledged.

        Everything else that was posted is forgotten: answers are for who asked on the stream before.
        """
        self._messages = collections.deque(messages)
        self._again = collections.deque(report for job in jobs for report in job.reports.unacked())
        self._sent_at = 0.0
        self._hurry()

    @property
    def empty(self) -> bool:
        """Whether everything was taken."""
        begun = any(job.reports.only_begun for job in self._begun)
        return not (self._messages or self._again or self._talking or begun)

    async def take(self, patience_s: float) -> list[host_pb2.HostMessage]:
        """Wait for what is to be said, and take a message's worth of it; a heartbeat after `patience_s` of silence."""
        if not self._messages and not self._again and not self._talking:
            self._wake.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._wake.wait()
            except TimeoutError:
                return [host_pb2.HostMessage(heartbeat=host_pb2.Heartbeat())]
        await self._pause()
        taken: list[host_pb2.HostMessage] = []
        size = 0
        for source in (self._next_message, self._next_again, self._next_report):
            while size < _BATCH_BYTES_MAX and (message := source()) is not None:
                taken.append(message)
                size += message.ByteSize()
        self._sent_at = self._loop.time()
        return taken

    async def _pause(self) -> None:
        """Let small things gather, unless something is urgent."""
        pause_s = self._sent_at + _GAP_S - self._loop.time()
        if pause_s > 0 and not self._messages and not self._again:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._urgent.wait()
        self._urgent.clear()

    def _next_message(self) -> host_pb2.HostMessage | None:
        return self._messages.popleft() if self._messages else None

    def _next_again(self) -> host_pb2.HostMessage | None:
        return host_pb2.HostMessage(report=self._again.popleft()) if self._again else None

    def _next_report(self) -> host_pb2.HostMessage | None:
        while self._talking:
            job = next(iter(self._talking))
            try:
                report = job.reports.take()
            except DecodeError:
                job.reports.forget_gathered()
                job.break_off("sent an event that is none")
                continue
            if report is not None:
                return host_pb2.HostMessage(report=report)
            del self._talking[job]
        return None
