"""The host of one app: keeps a stream to the runner, and work flowing through it.

It dials the runner and says hello with what it holds; everything after that is work down and reports up.  When the
stream breaks it dials again and resends what was not acknowledged, so a runner may restart without a job noticing.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

import grpc
import uvloop
from mesh.runner.v1 import host_pb2, host_pb2_grpc
from mesh.runner.v1.placement_pb2 import HostSpec

from agentmesh.host import environment, zygote
from agentmesh.host.calls import Handler
from agentmesh.host.children import Zygote
from agentmesh.host.frames import Channel, Kind
from agentmesh.host.processes import die_with_parent
from agentmesh.host.running import RunningJob

_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
_BATCH_BYTES_MAX = 4 * 1024 * 1024
_RECONNECT_S = 0.2
_REPORT_GAP_S = 0.002
# What the runner answers to a host that it has replaced or never knew.
_UNWANTED = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


def main(spec: HostSpec) -> NoReturn:
    """Be the host that `spec` describes; ends the process."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    if os.fork() == 0:  # before gRPC starts: a fork of its threads would be broken
        try:
            die_with_parent(parent)
            ours.close()
            _become_zygote(theirs, spec)
        finally:
            os._exit(1)
    theirs.close()
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(Host(spec, ours).serve())
    os._exit(0)


def _become_zygote(control: socket.socket, spec: HostSpec) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        environment.apply(json.loads(spec.runtime_env_json or "{}"))
    except (ValueError, OSError) as error:
        message = f"{type(error).__name__}: {error}"
        Channel(control).send(Kind.LOADED, host_pb2.Loaded(error=message).SerializeToString())
        os._exit(1)
    zygote.main(control, spec)


class Host:
    """Everything a host does on its event loop."""

    def __init__(self, spec: HostSpec, control: socket.socket) -> None:
        self._spec = spec
        self._control = control
        self._jobs: dict[str, RunningJob] = {}
        self._outbox: list[host_pb2.HostMessage] = []
        self._talking: dict[RunningJob, None] = {}
        """Jobs with something to report, in the order in which they began to."""
        self._wake = asyncio.Event()
        self._heartbeat_s = 3.0
        self._draining = False
        self._loaded: host_pb2.Loaded | None = None

    async def serve(self) -> None:
        """Work until the runner does not want us, the app's zygote dies, or a drain is done."""
        self._zygote = Zygote(self._control)
        self._handler = Handler(self._zygote, self._post)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._stay_attached(), name="attach"),
            asyncio.create_task(self._load(), name="load"),
            asyncio.create_task(stopping.wait(), name="stopping"),
        ]
        try:
            ends: list[asyncio.Future[Any]] = [tasks[0], tasks[2], self._zygote.gone]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._zygote.gone.done() and not stopping.is_set():
                await self._report_broken_app()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self) -> None:
        """Wait for the app, then serve it."""
        self._loaded = await self._zygote.loaded
        if not self._loaded.error:
            await self._handler.start()
            self._zygote.fork_ahead()
        self._post(host_pb2.HostMessage(loaded=self._loaded))

    async def _report_broken_app(self) -> None:
        """The zygote is gone, and with it every job.  Our own end says so; a load failure is given time to arrive."""
        if self._loaded is None and self._zygote.loaded.done():
            self._post(host_pb2.HostMessage(loaded=self._zygote.loaded.result()))
        elif self._loaded is None:
            self._post(host_pb2.HostMessage(loaded=host_pb2.Loaded(error="the app ended its process while loading")))
        for _ in range(50):
            if not self._outbox:
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)

    async def _stay_attached(self) -> None:
        """Dial, work, and dial again."""
        while True:
            try:
                await self._attach()
            except grpc.aio.AioRpcError as error:
                if error.code() in _UNWANTED:
                    print(f"host {self._spec.host_id}: not wanted: {error.details()}", file=sys.stderr)
                    return
            if self._draining and not self._jobs:
                return
            await asyncio.sleep(_RECONNECT_S)

    async def _attach(self) -> None:
        options = [
            ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        async with grpc.aio.insecure_channel(self._spec.runner_address, options=options) as channel:
            stub = host_pb2_grpc.HostServiceStub(channel)
            stream = stub.Attach(metadata=(("x-mesh-service", self._spec.token),), wait_for_ready=True)
            await stream.write(host_pb2.AttachRequest(messages=self._hello()))
            writer = asyncio.create_task(self._write(stream), name="write")
            try:
                while (response := await stream.read()) is not grpc.aio.EOF:
                    for message in response.messages:
                        self._take(message)
                    if self._draining and not self._jobs:
                        return
            finally:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
                stream.cancel()

    def _hello(self) -> list[host_pb2.HostMessage]:
        """Say what we hold, then everything that has not been acknowledged."""
        leases = [host_pb2.Lease(job=job.run.job, epoch=job.run.epoch) for job in self._jobs.values()]
        spec = self._spec
        hello = host_pb2.Hello(host_id=spec.host_id, expose=spec.expose, leases=leases, protocol=1)
        messages = [host_pb2.HostMessage(hello=hello)]
        if self._loaded is not None:
            messages.append(host_pb2.HostMessage(loaded=self._loaded))
        # Reports are taken from the jobs, and answers nobody waits for: questions end with the stream they came by.
        self._outbox.clear()
        self._handler.forget()
        for job in self._jobs.values():
            messages += [host_pb2.HostMessage(report=report) for report in job.reports.unacked()]
        return messages

    async def _write(self, stream: grpc.aio.StreamStreamCall) -> None:
        """Send what gathers in the outbox, and a heartbeat when nothing does."""
        loop = asyncio.get_running_loop()
        sent_at = loop.time() - _REPORT_GAP_S
        while True:
            if not self._outbox and not self._talking:
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await self._wake.wait()
                except TimeoutError:
                    self._outbox.append(host_pb2.HostMessage(heartbeat=host_pb2.Heartbeat()))
            # A job that talks without pause is heard in large pieces: each costs the runner a write of its own.  The
            # first word after a silence, and the last, go out at once.
            pause_s = sent_at + _REPORT_GAP_S - loop.time()
            if pause_s > 0 and not any(job.reported for job in self._talking):
                await asyncio.sleep(pause_s)
            self._wake.clear()
            messages, self._outbox = self._outbox, []
            size = sum(message.ByteSize() for message in messages)
            while self._talking and size < _BATCH_BYTES_MAX:
                job = next(iter(self._talking))
                report = job.reports.take()
                if report is None:
                    del self._talking[job]
                    continue
                size += report.ByteSize()
                messages.append(host_pb2.HostMessage(report=report))
            if messages:
                await stream.write(host_pb2.AttachRequest(messages=messages))
                sent_at = loop.time()

    def _post(self, message: host_pb2.HostMessage) -> None:
        self._outbox.append(message)
        self._wake.set()

    def _note_talk(self, job: RunningJob) -> None:
        self._talking[job] = None
        self._wake.set()

    def _take(self, message: host_pb2.RunnerMessage) -> None:
        match message.WhichOneof("message"):
            case "run":
                self._run(message.run)
            case "ack":
                self._acknowledge(message.ack)
            case "call":
                self._handler.ask(Kind.CALL, message.call)
            case "ask":
                self._handler.ask(Kind.ASK, message.ask)
            case "check_lock":
                self._handler.ask(Kind.CHECK_LOCK, message.check_lock)
            case "cancel":
                job = self._jobs.get(message.cancel.job)
                if job is not None and job.run.epoch == message.cancel.epoch:
                    job.cancel(message.cancel.grace_s)
            case "lock_end":
                job = self._jobs.get(message.lock_end.job)
                if job is not None and job.run.epoch == message.lock_end.epoch:
                    job.end_lock(message.lock_end)
            case "welcome":
                self._heartbeat_s = message.welcome.heartbeat_s or self._heartbeat_s
            case "drain":
                self._draining = True

    def _run(self, run: host_pb2.Run) -> None:
        known = self._jobs.get(run.job)
        if known is not None and known.run.epoch >= run.epoch:
            return  # sent again after a reconnect
        if known is not None:
            known.kill()
        job = RunningJob(run, self._zygote.take_job(len(self._jobs)), self._zygote, self._note_talk)
        self._jobs[run.job] = job
        job.start()

    def _acknowledge(self, ack: host_pb2.Ack) -> None:
        job = self._jobs.get(ack.job)
        if job is None:
            return
        if ack.stale:
            job.kill()
        else:
            job.acknowledge(ack.source_seq)
        if job.done:
            del self._jobs[ack.job]
