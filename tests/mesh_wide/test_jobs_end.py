"""Every job ends, whatever happens to its process, its client, the runner or the mesh, and its log has no gap."""

import contextlib
import json
import os
import pathlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc
import httpx
import psutil
import pytest
from agentmesh_protos.runner.v1 import job_pb2

from agentmesh.testing import Mesh
from tests.ending import wait_procs
from tests.families import is_gone
from tests.mesh_wide import meshes
from tests.mesh_wide.grpcapi import Jobs
from tests.mesh_wide.panel import Panel, parse_sse
from tests.sse import without_alive

T = TypeVar("T")

APPS = {"endings": "tests.apps.endings:app", "formats": "tests.apps.formats:app"}


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the folder of what flows may read."""
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module", autouse=True)
def _deployed(admin: Panel, gates: pathlib.Path) -> None:
    admin.deploy(APPS, read=str(gates))


@pytest.fixture
def jobs(mesh: Mesh, admin: Panel) -> Iterator[Jobs]:
    """Return the job service, as the operator."""
    with Jobs(mesh.url, admin.token) as jobs:
        yield jobs


@pytest.fixture
def gate(gates: pathlib.Path) -> pathlib.Path:
    """Return a named pipe at which the flow `gated` waits."""
    path = gates / uuid.uuid4().hex
    os.mkfifo(path)
    return path


def streamed(admin: Panel, fid: str) -> str:
    """Return a job's whole stream."""
    answer = admin.http.get(f"/outputs/stream/{fid}")
    assert answer.status_code == 200
    return without_alive(answer.text)


def check_log(events: list[job_pb2.Event]) -> None:
    """A log is numbered from 1 without a gap, its times never go back, and a status is its last line."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.kind for event in events[:3]] == ["status", "inputs", "meta"]
    assert events[-1].kind == "status"
    assert events[-1].payload in ("succeeded", "failed", "cancelled")
    assert [event.payload for event in events if event.kind == "status"][:-1][-1:] != [events[-1].payload]
    times = [event.time for event in events]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        ("sigkill", job_pb2.JOB_REASON_WORKER_LOST, "SIGKILL"),
        ("exit-now", job_pb2.JOB_REASON_WORKER_LOST, "exited with status 7"),
        ("segfault", job_pb2.JOB_REASON_WORKER_LOST, "SIGSEGV"),
        ("memory", job_pb2.JOB_REASON_ERROR, "MemoryError"),
        ("system-exit", job_pb2.JOB_REASON_ERROR, "SystemExit"),
    ],
)
def test_a_process_that_dies_ends_its_job(admin: Panel, jobs: Jobs, path: str, reason: int, words: str) -> None:
    """The job becomes an error that says what happened to its process, in every view of it."""
    fid = admin.launch("endings", path)
    assert admin.wait(fid)["status"] == "error"
    job = jobs.get(fid)
    assert job.state == job_pb2.JOB_STATE_FAILED
    assert job.reason == reason, job.error
    assert words in job.error
    events = jobs.watch(fid)
    check_log(events)
    assert [event.kind for event in events[-2:]] == ["error", "status"]
    assert words in events[-2].payload
    assert words in admin.http.get(f"/outputs/raw/{fid}").json()["Text"]["body"]


def test_output_before_the_end_is_kept(admin: Panel, jobs: Jobs) -> None:
    """What a process printed before it was killed is in the log."""
    fid = admin.launch("endings", "sigkill")
    assert "about to be killed" in [event.payload for event in jobs.watch(fid) if event.kind == "stdout"]


def test_the_app_survives_its_jobs(admin: Panel) -> None:
    """After a segmentation fault the next job of the same app runs as if nothing had happened."""
    admin.wait(admin.launch("endings", "segfault"))
    assert admin.wait(admin.launch("formats", "text"))["status"] == "finished"
    assert admin.wait(admin.launch("endings", "exit-now"))["status"] == "error"


@pytest.mark.parametrize("path", ["forever", "stubborn"])
def test_cancel_ends_the_process(admin: Panel, jobs: Jobs, path: str) -> None:
    """When cancel answers, the process is gone: the one that cleans up, and the one that does not listen."""
    said = cancelled(admin, jobs, path)
    if path == "forever":
        tries = 1
        while "cleaned up" not in said and tries < 5:  # it has two seconds, for which a busy machine may hold it up
            tries, said = tries + 1, cancelled(admin, jobs, path)
        assert "cleaned up" in said


def cancelled(admin: Panel, jobs: Jobs, path: str) -> list[str]:
    """Cancel a job in its midst; return what it said for its author."""
    fid = admin.launch("endings", path)
    process = psutil.Process(admin.first(fid, "result").typed["dict"]["pid"])
    job = jobs.cancel(fid)
    assert is_gone(process)
    assert job.state == job_pb2.JOB_STATE_CANCELLED
    assert job.reason in (job_pb2.JOB_REASON_USER_STOP, job_pb2.JOB_REASON_OPERATOR_CANCEL)
    events = jobs.watch(fid)
    check_log(events)
    assert events[-1].payload == "cancelled"
    assert admin.status(fid)["status"] == "error"
    assert jobs.cancel(fid).state == job_pb2.JOB_STATE_CANCELLED, "a second cancel changes nothing"
    return [event.payload for event in events if event.kind == "debug"]


def test_delete_ends_the_process_and_forgets_the_job(admin: Panel) -> None:
    """DELETE /outputs/{fid} stops a running job; then nobody knows it."""
    fid = admin.launch("endings", "forever")
    process = psutil.Process(admin.first(fid, "result").typed["dict"]["pid"])
    assert admin.http.delete(f"/outputs/{fid}").status_code == 204
    assert is_gone(process)
    assert admin.http.get(f"/outputs/status/{fid}").status_code == 404


def test_a_client_that_hangs_up_stops_nothing(admin: Panel, jobs: Jobs, gate: pathlib.Path) -> None:
    """The one who follows a stream may leave; the job goes on to its end."""
    fid = admin.launch("endings", "gated", gate=str(gate), events=10)
    assert admin.first(fid, "debug").payload == "waiting at the gate"  # and hang up
    gate.write_bytes(b"go")
    events = jobs.watch(fid)
    check_log(events)
    assert [event.kind for event in events].count("result") == 10
    assert events[-1].payload == "succeeded"


@pytest.mark.parametrize("how", ["/boot/", "/boot/refresh/endings"])
def test_a_boot_stops_no_job(admin: Panel, jobs: Jobs, gate: pathlib.Path, how: str) -> None:
    """A job of the code that is being replaced runs on to its end."""
    fid = admin.launch("endings", "gated", gate=str(gate), events=10)
    pid = admin.first(fid, "result").typed["dict"]["pid"]
    admin.first(fid, "debug")
    lines = admin.lines("POST", how)
    assert lines[-1].startswith("✔"), "\n".join(lines)
    assert admin.wait(admin.launch("endings", "exit-now"))["status"] == "error", "the new code takes jobs"
    gate.write_bytes(b"go")
    events = jobs.watch(fid)
    check_log(events)
    assert events[-1].payload == "succeeded"
    assert {json.loads(e.payload)["dict"]["pid"] for e in events if e.kind == "result"} == {pid}


def test_a_shutdown_ends_the_jobs(admin: Panel, jobs: Jobs, gates: pathlib.Path) -> None:
    """DELETE /boot ends every job with the reason, and its process."""
    fid = admin.launch("endings", "forever")
    process = psutil.Process(admin.first(fid, "result").typed["dict"]["pid"])
    try:
        assert admin.lines("DELETE", "/boot/")[-1] == "✔ Shutdown complete"
        job = jobs.get(fid)
        assert (job.state, job.reason) == (job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_REASON_SHUTDOWN)
        wait_procs([process], timeout=30)
        assert not process.is_running()
        check_log(jobs.watch(fid))
    finally:
        admin.deploy(APPS, read=str(gates))


def test_every_watch_gives_the_same_bytes(admin: Panel, jobs: Jobs) -> None:
    """Two streams of a job, and two watches, are identical byte by byte."""
    fid = admin.launch("formats", "expected-error")
    admin.wait(fid)
    streams = [streamed(admin, fid) for _ in range(2)]
    assert streams[0] == streams[1]
    watches = [[event.SerializeToString(deterministic=True) for event in jobs.watch(fid)] for _ in range(2)]
    assert watches[0] == watches[1]


def test_a_live_watch_gives_what_a_late_one_gives(mesh: Mesh, admin: Panel, jobs: Jobs, gate: pathlib.Path) -> None:
    """Who follows from the first moment sees, byte by byte, what who comes after the end sees."""
    fid = admin.launch("endings", "gated", gate=str(gate), events=6)
    live = b""
    with admin.http.stream("GET", f"/outputs/stream/{fid}") as answer:
        assert answer.status_code == 200
        for chunk in answer.iter_raw():
            live += chunk
            if b"waiting at the gate" in live and gate.exists():
                gate.write_bytes(b"go")
                gate.unlink()
    assert without_alive(live.decode()) == streamed(admin, fid)


def test_resume_gives_exactly_the_rest(admin: Panel, jobs: Jobs) -> None:
    """After any event, `Last-Event-ID` and `after_seq` give what follows it, and nothing else."""
    fid = admin.launch("formats", "text")
    admin.wait(fid)
    whole = admin.stream(fid)
    log = jobs.watch(fid)
    assert len(whole) == len(log)
    for seen in (1, 2, len(log) // 2, len(log) - 1):
        assert admin.stream(fid, **{"Last-Event-ID": str(seen)}) == whole[seen:]
        assert jobs.watch(fid, after_seq=seen) == log[seen:]
    assert admin.stream(fid, **{"Last-Event-ID": str(len(log))}) == []
    assert jobs.watch(fid, after_seq=len(log)) == []


def test_jobs_survive_a_runner_that_is_killed(mesh: Mesh, admin: Panel, jobs: Jobs, gate: pathlib.Path) -> None:
    """Kill -9 the runner while a job runs: the job still ends, nothing of its log is lost, the flow works again."""
    fid = admin.launch("endings", "gated", gate=str(gate), events=200)
    admin.first(fid, "debug")
    runner = meshes.child(mesh, "services.runner")
    runner.kill()
    wait_procs([runner], timeout=30)
    gate.write_bytes(b"go")  # half of the events are emitted while nobody listens
    events = watch_through(jobs, fid)
    check_log(events)
    state = events[-1].payload
    assert state in ("succeeded", "failed")
    if state == "succeeded":
        numbers = [event.payload for event in events if event.kind == "result"]
        assert len(numbers) == len(set(numbers)) == 200
    else:
        assert jobs.get(fid).reason == job_pb2.JOB_REASON_WORKER_LOST
    assert eventually(lambda: admin.wait(admin.launch("formats", "text")))["status"] == "finished"


@pytest.mark.parametrize("generations", [1, 2, 3])
def test_whoever_holds_a_job_may_be_killed(mesh: Mesh, admin: Panel, jobs: Jobs, generations: int) -> None:
    """Kill -9 the zygote, the host or the nursery above a job: it ends as an error, and the app comes back."""
    fid = eventually(lambda: admin.launch("endings", "forever"))
    process = psutil.Process(admin.first(fid, "result").typed["dict"]["pid"])
    doomed = process.parents()[generations - 1]
    assert "agentmesh.host" in doomed.cmdline()
    doomed.kill()
    events = watch_through(jobs, fid)
    check_log(events)
    assert events[-1].payload == "failed"
    assert jobs.get(fid).reason == job_pb2.JOB_REASON_WORKER_LOST
    assert jobs.get(fid).error
    wait_procs([process], timeout=30)
    assert is_gone(process)
    assert eventually(lambda: admin.wait(admin.launch("formats", "text")))["status"] == "finished"


@pytest.mark.parametrize(
    "module", ["services.auth", "services.registry", "services.payments", "gateway", "gateway.envoy"]
)
def test_a_part_that_is_killed_comes_back(mesh: Mesh, admin: Panel, module: str) -> None:
    """Kill -9 any part of the mesh: it is started again, and jobs run as before."""
    killed = envoy(mesh) if module == "gateway.envoy" else meshes.child(mesh, module)
    killed.kill()
    wait_procs([killed], timeout=30)
    assert eventually(lambda: admin.wait(admin.launch("formats", "text")))["status"] == "finished"


def envoy(mesh: Mesh) -> psutil.Process:
    """Return the front door's process, which is Envoy itself."""
    for process in psutil.Process(mesh.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "envoy" in process.name():
                return process
    raise AssertionError("there is no Envoy")


def eventually(work: Callable[[], T], timeout_s: float = 90) -> T:
    """Try again for as long as the mesh needs to mend itself."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return work()
        except (httpx.HTTPError, grpc.RpcError, AssertionError, ValueError):
            if time.monotonic() > deadline:
                raise


def watch_through(jobs: Jobs, fid: str) -> list[job_pb2.Event]:
    """Watch to the end, and begin again where the connection was lost."""
    return eventually(lambda: jobs.watch(fid))


def test_a_mesh_that_is_started_again_knows_everything(tmp_path: pathlib.Path) -> None:
    """After a stop and a start with the same data directory: same users, tokens, exposes, jobs and logs."""
    with meshes.running(tmp_path) as mesh:
        admin = Panel(mesh.url)
        role = {"name": "keeper", "email": "keeper@example.com", "password": "a keeper's password"}
        assert admin.http.post("/role/", json=role).status_code == 201
        admin.deploy(APPS)
        fid = admin.launch("formats", "text")
        admin.wait(fid)
        stream, status = streamed(admin, fid), admin.status(fid)
        unfinished = admin.launch("endings", "forever")
        process = psutil.Process(admin.first(unfinished, "result").typed["dict"]["pid"])
        exposes = admin.http.get("/expose/").json()
        admin.close()
    assert is_gone(process), "a stopped mesh leaves no job behind"
    with meshes.running(tmp_path) as mesh:
        again = Panel(mesh.url)
        again.http.headers["KODOSUMI_API_KEY"] = admin.token
        keeper = Panel(mesh.url, role["name"], role["password"])
        assert keeper.user != again.user
        keeper.close()
        assert streamed(again, fid) == stream
        assert again.status(fid) == status
        assert again.wait(unfinished)["status"] == "error", "what ran when the mesh ended has ended"
        assert [event.id for event in again.stream(unfinished)][:3] == [1, 2, 3]
        kept = ("name", "bootstrap", "created", "meta", "display", "network", "enabled")
        assert [{key: item[key] for key in kept} for item in again.http.get("/expose/").json()] == [
            {key: item[key] for key in kept} for item in exposes
        ]
        again.boot()
        assert again.wait(again.launch("formats", "text"))["status"] == "finished"
        again.close()


def test_sse_ends_with_eof(mesh: Mesh, admin: Panel) -> None:
    """A stream says that it is over; a client need not guess."""
    fid = admin.launch("formats", "text")
    text = httpx.get(f"{mesh.url}/outputs/stream/{fid}", headers={"KODOSUMI_API_KEY": admin.token}, timeout=30).text
    assert (parse_sse(text)[-1].event, parse_sse(text)[-1].data) == ("eof", "end of stream")
