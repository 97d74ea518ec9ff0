"""The host of one app: keeps a stream to the runner, and work flowing through it.

It dials the runner and says hello with what it holds; everything after that is work down and reports up.  When the
stream breaks it dials again and resends what was not acknowledged, so a runner may restart without a job noticing.
"""

import asyncio
import contextlib
import gc
import json
import os
import pathlib
import signal
import socket
import sys
import time
from typing import Any, NoReturn

import grpc
import uvloop
from agentmesh_protos.runner.v1 import app_pb2, host_pb2, host_pb2_grpc
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec

from agentmesh import compat
from agentmesh.host.attached.calls import Handler
from agentmesh.host.attached.children import Zygote
from agentmesh.host.attached.filing import FileCalls
from agentmesh.host.attached.process_job import ProcessJob
from agentmesh.host.attached.running import RunningJob
from agentmesh.host.attached.uplink import Uplink
from agentmesh.host.attached.workers import Workers
from agentmesh.host.confine import Confinement, Settings, places
from agentmesh.host.forking.beginning import begin
from agentmesh.host.own.environment import ENVIRONMENTS_DIR
from agentmesh.host.own.folders import Cleaner, Folders
from agentmesh.host.own.processes import die_with_parent, raise_descriptor_limit
from agentmesh.host.packages.needs import Needs, needs
from agentmesh.host.talk.frames import Kind
from agentmesh.host.talk.limits import MESSAGE_BYTES_MAX

_RECONNECT_S = 0.2
_RECONNECT_MAX_S = 2.0
_STEADY_S = 5.0
_SILENT_BEATS = 3.0
"""A replica of the runner that has said nothing for so many heartbeats is not waited for."""
_RUNNER = "runner.agentmesh"
_ZYGOTE_END_S = 1.0
_LOOK_S = 0.005
# What the runner answers to a host that it has replaced or never knew.
_UNWANTED = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


def main(spec: HostSpec, folder: pathlib.Path, badge_fd: int, settings: Settings, place: int = 0) -> NoReturn:
    """Be the host that `spec` describes; ends the process.

    Its jobs have their folders in `folder`, which whoever has started it removes when it has ended.  `badge_fd` is the
    reading end of the pipe that the badge lies in which shows the runner that it started this host; -1 for none, and
    then no runner lets it in.  `place` is no other's among the hosts of this machine, counted from 0.
    """
    confinement, needed, refusal = _confined(spec, folder, settings, place)
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    child = os.fork()
    if child == 0:  # before gRPC starts: a fork of its threads would be broken
        try:
            die_with_parent(parent)
            ours.close()
            if badge_fd >= 0:  # unread: what runs code of strangers must not have it in its memory
                os.close(badge_fd)
            begin(theirs, spec, confinement, refusal, needed)
        finally:
            os._exit(1)
    theirs.close()
    badge = _read_badge(badge_fd)
    raise_descriptor_limit()  # ours alone: what the app's processes may open is the operator's to say
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(Host(spec, badge, ours, child, folder, prepares=needed is not None).serve())
    _see_off(child)
    os._exit(0)


def _read_badge(fd: int) -> str:
    if fd < 0:
        return ""
    with open(fd, "rb") as file:
        return file.read().decode()


def _see_off(pid: int) -> None:
    """Wait a moment for the zygote, whose channel is closed: it ends what jobs have started, and dies if we do."""
    until = time.monotonic() + _ZYGOTE_END_S
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < until and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(_LOOK_S)


def _confined(
    spec: HostSpec, folder: pathlib.Path, settings: Settings, place: int
) -> tuple[Confinement | None, Needs | None, str]:
    """Confine this process; return how and what the app needs, or None and why that cannot be."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        needed = _needed(spec, settings)
        confinement = Confinement.of(spec, folder, settings, place, needed)
        confinement.enter_host()
    except (ValueError, OSError) as error:
        return None, None, str(error) or type(error).__name__
    return confinement, needed, ""


def _needed(spec: HostSpec, settings: Settings) -> Needs | None:
    """Return what the app needs beside its code, if such is made here.  Raises `ValueError`."""
    runtime_env = json.loads(spec.runtime_env_json or "{}")
    if compat.is_aliased(spec.import_path.partition(":")[0]):  # what lies at addresses is here, by another name
        runtime_env = _without_addresses(runtime_env)
    needed = needs(runtime_env, pathlib.Path.cwd(), lambda path: places.refuse([path], settings.private))
    if needed is None:
        return None
    if settings.kept is not None:
        settings.kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        return needed
    if needed.packages is not None:
        raise ValueError(f"packages are asked for, and {ENVIRONMENTS_DIR} does not say where they are to be installed")
    return None


def _without_addresses(runtime_env: Any) -> Any:
    modules = runtime_env.get("py_modules") if isinstance(runtime_env, dict) else None
    if not isinstance(modules, list):
        return runtime_env
    return {**runtime_env, "py_modules": [each for each in modules if "://" not in str(each)]}


class Host:
    """Everything a host does on its event loop."""

    def __init__(
        self,
        spec: HostSpec,
        badge: str,
        control: socket.socket,
        zygote_pid: int,
        folder: pathlib.Path,
        *,
        prepares: bool,
    ) -> None:
        """`prepares` says that something is to be made before the app is loaded."""
        self._spec = spec
        self._badge = badge
        """To dial with; the runner renews it."""
        self._cleaner = Cleaner(Folders(folder))
        self._zygote_pid = zygote_pid
        self._control = control
        self._address = spec.runner_address
        """Where the runner is dialled: what gRPC calls one replica of it or several, of which the first that answers is
        good."""
        self._jobs: dict[str, RunningJob] = {}
        self._heartbeat_s = 3.0
        self._draining = False
        self._prepares = prepares
        self._loaded: host_pb2.Loaded | None = None
        self._preparing: host_pb2.HostMessage | None = None
        """The last word on what is done before the app is loaded."""
        self._heard_at = time.monotonic()
        """When a runner has last said something."""

    async def serve(self) -> None:
        """Work until the runner does not want us, the app's zygote dies, or a drain is done."""
        self._uplink = Uplink()
        self._file_calls = FileCalls(self._uplink.post)
        prepares = self._tell_preparing if self._prepares else None
        self._zygote = Zygote(self._control, self._zygote_pid, ended=self._cleaner.clear, prepares=prepares)
        self._handler = Handler(self._zygote, self._uplink.post)
        self._workers = Workers(self._zygote)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._stay_attached(), name="attach"),
            asyncio.create_task(self._load(), name="load"),
            asyncio.create_task(stopping.wait(), name="stopping"),
        ]
        if self._spec.patience_s:
            tasks.append(asyncio.create_task(self._lose_patience(), name="patience"))
        try:
            ends: list[asyncio.Future[Any]] = [tasks[0], *tasks[2:], self._zygote.gone]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._zygote.gone.done() and not stopping.is_set():
                await self._report_broken_app()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._zygote.close()

    def _tell_preparing(self, text: str) -> None:
        self._preparing = host_pb2.HostMessage(preparing=host_pb2.Preparing(message=text))
        self._uplink.post(self._preparing)

    async def _load(self) -> None:
        """Wait for the app, then serve it."""
        self._loaded = await self._zygote.loaded
        if not self._loaded.error and self._zygote.starts:
            self._handler.keep()
        self._uplink.post(host_pb2.HostMessage(loaded=self._loaded))

    async def _report_broken_app(self) -> None:
        """The zygote is gone, and with it every job.  Our own end says so; a load failure is given time to arrive."""
        if self._loaded is None and self._zygote.loaded.done():
            self._uplink.post(host_pb2.HostMessage(loaded=self._zygote.loaded.result()))
        elif self._loaded is None:
            loaded = host_pb2.Loaded(error="the app ended its process while loading")
            self._uplink.post(host_pb2.HostMessage(loaded=loaded))
        for _ in range(50):
            if self._uplink.empty:
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)

    # -- the stream ----------------------------------------------------------------------------------------------

    async def _stay_attached(self) -> None:
        """Dial, work, and dial again: more slowly where that does not last, as each time what is unheard is resent."""
        pause_s = _RECONNECT_S
        while True:
            begun = time.monotonic()
            try:
                await self._attach()
            except grpc.aio.AioRpcError as error:
                if error.code() in _UNWANTED:
                    print(f"host {self._spec.host_id}: not wanted: {error.details()}", file=sys.stderr)
                    return
            if self._draining and not self._jobs:
                return
            pause_s = _RECONNECT_S if time.monotonic() - begun > _STEADY_S else min(2 * pause_s, _RECONNECT_MAX_S)
            await asyncio.sleep(pause_s)

    async def _attach(self) -> None:
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.keepalive_time_ms", 5_000),
            ("grpc.keepalive_timeout_ms", 3_000),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),  # that one is the app's
        ]
        async with self._dialled(options) as channel:
            stub = host_pb2_grpc.HostServiceStub(channel)
            stream = stub.Attach(metadata=(("x-mesh-service", self._badge),), wait_for_ready=True)
            await stream.write(host_pb2.AttachRequest(messages=self._hello()))
            writer = asyncio.create_task(self._write(stream), name="write")
            try:
                while (response := await self._heard(stream)) is not grpc.aio.EOF:
                    self._heard_at = time.monotonic()
                    for message in response.messages:
                        self._take(message)
                    await self._workers.room()
                    if self._draining and not self._jobs:
                        return
            finally:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
                stream.cancel()

    async def _heard(self, stream: grpc.aio.StreamStreamCall) -> Any:
        """Return what the runner says next; its end, if it is silent and another replica may be asked."""
        if "," not in self._address:
            return await stream.read()
        try:
            async with asyncio.timeout(_SILENT_BEATS * self._heartbeat_s):
                return await stream.read()
        except TimeoutError:  # gRPC's own keepalive does not notice one that stands still within a lease
            return grpc.aio.EOF

    async def _lose_patience(self) -> None:
        """Return once no runner has said anything for as long as the spec has it: the badge is worth nothing then."""
        while True:
            left_s = self._heard_at + self._spec.patience_s - time.monotonic()
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        print(f"host {self._spec.host_id}: no runner for {self._spec.patience_s:g} s", file=sys.stderr)

    def _dialled(self, options: list[tuple[str, Any]]) -> grpc.aio.Channel:
        """Return a channel to the runner, which its certificate names whatever address it has."""
        address, self._address = self._address, _turned(self._address)
        if not self._spec.runner_ca:
            return grpc.aio.insecure_channel(address, options=options)
        credentials = grpc.ssl_channel_credentials(self._spec.runner_ca.encode())
        named = ("grpc.ssl_target_name_override", _RUNNER)
        return grpc.aio.secure_channel(address, credentials, options=[*options, named])

    def _hello(self) -> list[host_pb2.HostMessage]:
        """Say what we hold; everything that has not been acknowledged follows, in pieces."""
        jobs = list(self._jobs.values())
        leases = [host_pb2.Lease(job=job.job, epoch=job.epoch) for job in jobs]
        spec = self._spec
        hello = host_pb2.Hello(host_id=spec.host_id, expose=spec.expose, leases=leases, protocol=1)
        said = [] if self._preparing is None else [self._preparing]
        if self._loaded is not None:
            said = [host_pb2.HostMessage(loaded=self._loaded)]
        self._handler.forget()
        self._uplink.begin([*said, *self._file_calls.again()], jobs)
        return [host_pb2.HostMessage(hello=hello)]

    async def _write(self, stream: grpc.aio.StreamStreamCall) -> None:
        """Send what there is to say, and a heartbeat when there is nothing."""
        while True:
            messages = await self._uplink.take(self._heartbeat_s)
            if messages:
                await stream.write(host_pb2.AttachRequest(messages=messages))

    # -- what the runner says ------------------------------------------------------------------------------------

    def _take(self, message: host_pb2.RunnerMessage) -> None:
        match message.WhichOneof("message"):
            case "run":
                self._run(message.run)
            case "ack":
                self._acknowledge(message.ack)
            case "call":
                self._handler.ask(Kind.CALL, message.call)
            case "call_part":
                self._handler.hear(message.call_part)
            case "ask":
                self._handler.ask(Kind.ASK, message.ask)
            case "check_lock":
                self._handler.ask(Kind.CHECK_LOCK, message.check_lock)
            case "cancel":
                if (job := self._held(message.cancel.job, message.cancel.epoch)) is not None:
                    job.cancel(message.cancel.grace_s)
            case "pause":
                if (job := self._held(message.pause.job, message.pause.epoch)) is not None:
                    job.pause()
            case "resume":
                if (job := self._held(message.resume.job, message.resume.epoch)) is not None:
                    job.resume()
            case "lock_end":
                if (job := self._held(message.lock_end.job, message.lock_end.epoch)) is not None:
                    job.end_lock(message.lock_end)
            case "file_result":
                result = message.file_result
                if self._file_calls.take(result) and (job := self._held(result.job, result.epoch)) is not None:
                    job.file_result(result)
            case "welcome":
                self._heartbeat_s = message.welcome.heartbeat_s or self._heartbeat_s
                if message.welcome.runner_address:
                    self._address = _turned(message.welcome.runner_address)
            case "renewal":
                self._badge = message.renewal.badge
            case "drain":
                self._draining = True

    def _held(self, name: str, epoch: int) -> RunningJob | None:
        job = self._jobs.get(name)
        return job if job is not None and job.epoch == epoch else None

    def _run(self, run: host_pb2.Run) -> None:
        known = self._jobs.get(run.job)
        if known is not None and known.epoch >= run.epoch:
            return  # sent again after a reconnect
        if known is not None:
            known.drop()
        job = self._jobs[run.job] = RunningJob(run, self._uplink.talk, self._file_calls.ask)
        try:
            if run.isolation == app_pb2.ISOLATION_SHARED:
                self._workers.run(job, run)
            else:
                job.way = ProcessJob(job, run, self._zygote.take_job(), self._zygote)
        except OSError as error:  # no descriptors left
            job.gone(f"the job's process could not be started: {error.strerror}")

    def _acknowledge(self, ack: host_pb2.Ack) -> None:
        job = self._jobs.get(ack.job)
        if job is None:
            return
        if ack.stale:
            job.drop()
        else:
            job.acknowledge(ack.source_seq)
        if job.done:
            del self._jobs[ack.job]
            self._file_calls.forget(ack.job)


def _turned(address: str) -> str:
    """Return an address with the next replica first: the one before may accept, and never answer."""
    kind, _, places = address.partition(":")
    first, comma, others = places.partition(",")
    return f"{kind}:{others},{first}" if comma else address
