"""A host with a runner that is played by the test, for the length of a block."""

import asyncio
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from agentmesh_protos.runner.v1 import app_pb2, host_pb2, host_pb2_grpc, job_pb2
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec

DEADLINE_S = 90.0
_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
_HOST = """
import os, pathlib, pkgutil, resource, sys
if limit := int(os.environ.get("AM_TEST_NOFILE", "0")):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
from agentmesh.host.attached import host
from agentmesh.host.confine import Settings, identity
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec
if first := os.environ.pop("AM_TEST_FIRST", ""):
    pkgutil.resolve_name(first)()
if user := int(os.environ.pop("AM_TEST_USER", "0")):
    identity.become(user, identity.OF_JOB, passed_on=identity.OF_JOB)
spec, settings = HostSpec.FromString(bytes.fromhex(sys.argv[1])), Settings.of(os.environ)
host.main(spec, pathlib.Path(sys.argv[2]), int(sys.argv[3]), settings)
"""


class Stage(host_pb2_grpc.HostServiceServicer):
    """The runner's end: keeps what the host says, acknowledges reports, and says what the test wants."""

    def __init__(self) -> None:
        self.hellos: list[host_pb2.Hello] = []
        self.badges: list[str] = []
        """That it has dialled with."""
        self.loaded: host_pb2.Loaded | None = None
        self.reports: dict[str, list[host_pb2.Report]] = {}
        """By job, without what was sent again."""
        self.answers: list[host_pb2.HostMessage] = []
        """To questions."""
        self.heartbeats = 0
        self.acknowledging = True
        self.process: asyncio.subprocess.Process
        self.folder: pathlib.Path
        """Where the folders of its jobs are."""
        self._seqs: dict[str, int] = {}
        self._outbox: asyncio.Queue[host_pb2.AttachResponse | None] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._numbers = itertools.count(1)

    async def Attach(
        self, request_iterator: AsyncIterator[host_pb2.AttachRequest], context: Any
    ) -> AsyncIterator[host_pb2.AttachResponse]:
        """Carry both ways until the test or the host ends it."""
        self._outbox = asyncio.Queue()
        self.badges.append(dict(context.invocation_metadata())["x-mesh-service"])
        self._outbox.put_nowait(
            host_pb2.AttachResponse(messages=[host_pb2.RunnerMessage(welcome=host_pb2.Welcome(heartbeat_s=0.2))])
        )
        reading = asyncio.create_task(self._read(request_iterator))
        try:
            while (response := await self._outbox.get()) is not None:
                yield response
        finally:
            reading.cancel()

    async def _read(self, requests: AsyncIterator[host_pb2.AttachRequest]) -> None:
        async for request in requests:
            acks = [ack for message in request.messages if (ack := self._take(message)) is not None]
            if acks and self.acknowledging:
                self._outbox.put_nowait(host_pb2.AttachResponse(messages=acks))
            async with self._changed:
                self._changed.notify_all()

    def _take(self, message: host_pb2.HostMessage) -> host_pb2.RunnerMessage | None:
        match message.WhichOneof("message"):
            case "hello":
                self.hellos.append(message.hello)
            case "loaded":
                self.loaded = message.loaded
            case "heartbeat":
                self.heartbeats += 1
            case "report":
                report = message.report
                last = report.source_seq + len(report.events) - 1
                last += report.HasField("outcome") or report.HasField("lock")
                if report.source_seq > self._seqs.get(report.job, 0):
                    assert report.source_seq == self._seqs.get(report.job, 0) + 1, "a report was left out"
                    self._seqs[report.job] = last
                    self.reports.setdefault(report.job, []).append(report)
                return host_pb2.RunnerMessage(ack=host_pb2.Ack(job=report.job, source_seq=last))
            case _:
                self.answers.append(message)
        return None

    def say(self, *messages: host_pb2.RunnerMessage) -> None:
        """Tell the host something."""
        self._outbox.put_nowait(host_pb2.AttachResponse(messages=messages))

    def run(self, entry_point: str, *, shared: bool = False, inputs_json: str = "{}") -> str:
        """Start a job; return its name."""
        name = f"jobs/{next(self._numbers):024x}"
        isolation = app_pb2.ISOLATION_SHARED if shared else app_pb2.ISOLATION_PROCESS
        self.say(
            host_pb2.RunnerMessage(
                run=host_pb2.Run(
                    job=name,
                    epoch=1,
                    entry_point=entry_point,
                    inputs_json=inputs_json,
                    owner="users/ann",
                    base_url="http://mesh",
                    isolation=isolation,
                    attempt=1,
                )
            )
        )
        return name

    def cancel(self, job: str, grace_s: float = DEADLINE_S) -> None:
        """Stop a job."""
        self.say(host_pb2.RunnerMessage(cancel=host_pb2.Cancel(job=job, epoch=1, grace_s=grace_s)))

    def answer(self, job: str, lock_id: str, result_json: str) -> None:
        """Answer a lock."""
        end = host_pb2.LockEnd(job=job, epoch=1, lock_id=lock_id, result_json=result_json)
        self.say(host_pb2.RunnerMessage(lock_end=end))

    def locks(self, job: str) -> list[host_pb2.OpenLock]:
        """Return the locks that a job has opened."""
        return [report.lock for report in self.reports.get(job, ()) if report.HasField("lock")]

    async def hang_up(self) -> None:
        """End the stream, and wait for the host to dial again."""
        known = len(self.hellos)
        self._outbox.put_nowait(None)
        await self.until(lambda: len(self.hellos) > known)

    async def until(self, true: Callable[[], Any]) -> Any:
        """Wait until what the host said makes `true` true; return what it returns."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            while not (found := true()):
                await self._changed.wait()
            return found

    def events(self, job: str, kind: str = "") -> list[str]:
        """Return what a job has said so far, of one kind or of all."""
        found = [event for report in self.reports.get(job, ()) for event in report.events]
        return [event.payload for event in found if kind in ("", event.kind)]

    def outcome(self, job: str) -> host_pb2.Outcome | None:
        """Return how a job ended, if it has."""
        outcomes = [report.outcome for report in self.reports.get(job, ()) if report.HasField("outcome")]
        return next((found for found in outcomes if found.state != job_pb2.JOB_STATE_RUNNING), None)

    async def end(self, job: str) -> host_pb2.Outcome:
        """Wait for a job's end."""
        outcome: host_pb2.Outcome = await self.until(lambda: self.outcome(job))
        return outcome


@contextlib.asynccontextmanager
async def stage(
    import_path: str,
    *,
    fork: bool = True,
    runtime_env: dict[str, Any] | None = None,
    bounds: app_pb2.Bounds | None = None,
    user: int = 0,
    first: str = "",
    **env: str,
) -> AsyncIterator[Stage]:
    """Run a host of the app, attached and loaded; `env` is added to its environment.

    If tests are root's, `user` is whose it is; it may read what we may, as that is where the code lies.  `first` is a
    `module:function` that its process calls first.
    """
    stage = Stage()
    size = [("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=size)
    host_pb2_grpc.add_HostServiceServicer_to_server(stage, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    spec = HostSpec(
        host_id="demo-1",
        expose="demo",
        import_path=import_path,
        runner_address=f"127.0.0.1:{port}",
        runtime_env_json=json.dumps(runtime_env or {}),
        fork=fork,
        bounds=bounds,
    )
    argument = spec.SerializeToString().hex()
    folder = tempfile.mkdtemp(prefix="am-host-")
    stage.folder = pathlib.Path(folder)
    badge, writing = os.pipe()
    os.write(writing, b"its first badge")
    os.close(writing)
    for path in bounds.write_paths if bounds is not None else ():
        os.chmod(path, 0o777)  # what is said there is no gift of the file system's own rights
    if user and os.geteuid() == 0:
        os.chown(folder, user, user)
        env["AM_TEST_USER"] = str(user)
    if first:
        env["AM_TEST_FIRST"] = first
    stage.process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _HOST, argument, folder, str(badge)), env={**os.environ, **env}, pass_fds=(badge,)
    )
    os.close(badge)
    try:
        await stage.until(lambda: stage.loaded)
        yield stage
    finally:
        with contextlib.suppress(ProcessLookupError):
            stage.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            await stage.process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        await server.stop(0)


def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    late = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < late, "it did not come"
        time.sleep(0.01)
