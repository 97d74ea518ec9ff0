"""`agentmesh up`, as a person or a script uses it."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from agentmesh.supervisor import opening, ports
from agentmesh.supervisor.plan import NATIVE, NATIVE_PORTS
from agentmesh.testing import MeshDidNotStart, running_mesh
from tests.ending import wait_procs
from tests.families import is_gone, running
from tests.mesh_wide.meshes import until_healthy

DEADLINE_S = 60.0
UP = [sys.executable, "-P", "-m", "agentmesh.cli", "up"]


def _up(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*UP, *options],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, **(env or {})},
        check=False,
    )


def test_it_says_when_it_is_ready_and_ends_by_itself_without_a_trace() -> None:
    """/health needs no login; after SIGTERM the exit code is 0 and every process it started is gone."""
    with running_mesh() as mesh:
        until_healthy(mesh)
        children = psutil.Process(mesh.process.pid).children(recursive=True)
        assert len(children) >= 7

        mesh.process.send_signal(signal.SIGTERM)

        assert 0 == mesh.process.wait(DEADLINE_S)
        assert [] == [child for child in children if not is_gone(child)]


TESTER = """
import sys

from agentmesh.testing import running_mesh

with running_mesh() as mesh:
    print(mesh.process.pid, flush=True)
    sys.stdin.read()
"""


def test_a_mesh_of_a_test_that_is_killed_ends_with_it() -> None:
    """Nobody is left who would end it: its own input does."""
    command = [sys.executable, "-c", TESTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tester:
        assert tester.stdout is not None
        supervisor = psutil.Process(int(tester.stdout.readline()))
        mesh = [supervisor, *supervisor.children(recursive=True)]

        tester.kill()

        assert [] == wait_procs(mesh, DEADLINE_S)[1]


WAITER = """
import asyncio

from agentmesh import Launch, ServeAPI, forms

app = ServeAPI()


@app.enter(path="/", model=forms.Model(forms.Submit("Wait")), summary="Waiter", description="Waits.")
async def enter(request, inputs):
    return Launch(request, wait, inputs=inputs)


async def wait(inputs, tracer):
    await tracer.debug("waiting")
    await asyncio.sleep(600)
"""


def test_it_ends_in_time_with_a_job_running_and_streams_open(tmp_path: pathlib.Path) -> None:
    """Neither a job nor a reader holds up the end; the processes of apps and jobs go, too."""
    (tmp_path / "waiter.py").write_text(WAITER)
    with running_mesh(cwd=tmp_path) as mesh:
        mesh.deploy("waiter", "waiter:app")
        job = mesh.client.create_job("waiter")
        headers = {"KODOSUMI_API_KEY": mesh.client.login("admin", "admin").access_token}
        with httpx.stream("GET", f"{mesh.url}/outputs/stream/{job.id}", headers=headers, timeout=DEADLINE_S) as stream:
            lines = stream.iter_lines()
            assert any("waiting" in line for line in lines)
            assert any(event.kind == "debug" for event in mesh.client.watch(job.name))
            everybody = psutil.Process(mesh.process.pid).children(recursive=True)

            mesh.process.send_signal(signal.SIGTERM)

            assert 0 == mesh.process.wait(DEADLINE_S)
            assert [] == [child for child in everybody if not is_gone(child)]


def test_a_closed_stdout_is_no_error(tmp_path: pathlib.Path) -> None:
    """Nobody reads the ready line: the mesh runs all the same, and ends with 0."""
    reader, writer = os.pipe()
    os.close(reader)
    port_free, (hold,) = ports.reserve(1)
    command = [*UP, "--port", str(port_free[0]), "--data-dir", str(tmp_path)]
    with hold, subprocess.Popen(command, stdout=writer, stderr=subprocess.DEVNULL) as process:
        os.close(writer)
        asyncio.run(
            asyncio.wait_for(opening.until_healthy("edge", "http", f"http://127.0.0.1:{port_free[0]}/health"), 60)
        )
        process.send_signal(signal.SIGTERM)

        assert 0 == process.wait(DEADLINE_S)


def test_it_ends_well_before_it_was_ready(tmp_path: pathlib.Path) -> None:
    """SIGTERM in the middle of the start is as good as any; the data directory is free again."""
    command = [*UP, "--port", "0", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first service speaks: the start is under way
        process.send_signal(signal.SIGINT)

        assert 0 == process.wait(DEADLINE_S)
    with running_mesh(data_dir=tmp_path) as mesh:
        until_healthy(mesh)


def _starting(folder: pathlib.Path) -> subprocess.Popen[str]:
    """Return a mesh that has only just written its number to where whoever signals it reads that."""
    process = subprocess.Popen([*UP, "--port", "0", "--data-dir", str(folder)], stdout=subprocess.PIPE, text=True)
    lock, until = folder / "up.lock", time.monotonic() + DEADLINE_S
    try:
        while not (lock.exists() and lock.read_text().startswith(f"{process.pid} ")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)  # both cores are needed to start
    except BaseException:
        process.kill()
        raise
    return process


def test_a_restart_that_is_asked_for_during_the_start_ends_nothing(tmp_path: pathlib.Path) -> None:
    """The mesh becomes ready; restarting what only begins can wait."""
    with _starting(tmp_path) as process:
        process.send_signal(signal.SIGUSR1)
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)

        assert line.startswith("agentmesh ready ")
        assert 0 == process.wait(DEADLINE_S)


def test_it_ends_well_before_anything_was_started(tmp_path: pathlib.Path) -> None:
    """However early it is told to; nothing is left of it but the data."""
    with _starting(tmp_path) as process:
        jobs = pathlib.Path((tmp_path / "up.lock").read_text().strip().partition(" ")[2])
        process.send_signal(signal.SIGTERM)

        assert 0 == process.wait(DEADLINE_S)
    assert not jobs.exists()


def test_no_process_outlives_a_supervisor_that_is_killed() -> None:
    """SIGKILL leaves the supervisor no moment to tidy up; the kernel ends its children."""
    with running_mesh() as mesh:
        children = psutil.Process(mesh.process.pid).children(recursive=True)
        mesh.process.kill()
        mesh.process.wait(DEADLINE_S)

        _, alive = wait_procs(children, timeout=DEADLINE_S)

        assert [] == alive


async def test_a_crashed_child_is_started_again() -> None:
    """A service that is killed comes back at the same address, and the mesh answers as before."""
    with running_mesh() as mesh:
        registry = running(mesh.process.pid, "services.registry")
        address = f"unix:{registry.environ()['AGENTMESH_SOCKETS_DIR']}/registry.sock"
        registry.kill()
        wait_procs([registry], timeout=DEADLINE_S)

        async with asyncio.timeout(DEADLINE_S):
            await opening.until_healthy("registry", "grpc", address)

        assert registry.pid != running(mesh.process.pid, "services.registry").pid
        assert [] == list(mesh.client.exposes())
        assert "registry ended (SIGKILL): starting it again" in mesh.log()


def test_a_newer_start_finds_its_data_again(tmp_path: pathlib.Path) -> None:
    """What was saved before the end is there after a start with the same data directory."""
    data_dir = tmp_path / "data"
    with running_mesh(data_dir=data_dir) as mesh:
        mesh.client.save_expose("kept", "import_path: nothing:app\n")

    with running_mesh(data_dir=data_dir) as mesh:
        assert ["kept"] == [expose.name for expose in mesh.client.exposes()]


def test_folders_of_the_start_directory_do_not_shadow_the_mesh(tmp_path: pathlib.Path) -> None:
    """Apps come from the directory it was started in; a folder `gateway` there is not taken for ours."""
    for name in ("gateway", "services", "meshkit"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('not the mesh')")

    with running_mesh(cwd=tmp_path) as mesh:
        until_healthy(mesh)


def test_a_second_mesh_on_the_same_data_is_refused(tmp_path: pathlib.Path) -> None:
    """One line says which process has the data directory; the first mesh is not disturbed."""
    with running_mesh(data_dir=tmp_path) as mesh:
        second = _up("--port", "0", "--data-dir", str(tmp_path))

        assert 2 == second.returncode
        assert f"another mesh (process {mesh.process.pid}) uses the data directory {tmp_path}" in second.stderr
        assert 1 == second.stderr.count("\n")
        until_healthy(mesh)


def test_a_port_in_use_is_refused(tmp_path: pathlib.Path) -> None:
    """One line names the port and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        refused = _up("--port", str(port), "--data-dir", str(tmp_path))

    assert 2 == refused.returncode
    assert (
        f"agentmesh: port {port} of 127.0.0.1 is in use: choose another with --port, or --port 0 for a free one\n"
        == refused.stderr
    )


def test_each_native_port_answers_the_first_call_of_its_document() -> None:
    """The mesh is at the documented ports, or at those that the setting names, beside its own."""
    free, holds = ports.reserve(len(NATIVE_PORTS))
    at = dict(zip(NATIVE_PORTS, free, strict=True))
    env = {NATIVE: json.dumps(at)}
    with contextlib.ExitStack() as stack:
        for hold in holds:
            stack.enter_context(hold)
        stack.enter_context(running_mesh(env=env, options=["--native-ports"]))
        http = stack.enter_context(httpx.Client(timeout=DEADLINE_S))

        codex = http.post(f"http://localhost:{at['codex']}/api/query/health", json={})
        password = {"email": "admin", "password": "admin"}
        kasal = http.post(f"http://localhost:{at['kasal']}/api/v1/auth/login", json=password)
        koda = http.get(f"http://localhost:{at['koda']}/api/runtime/ready")
        deadline = time.monotonic() + DEADLINE_S
        while koda.status_code != 200 and time.monotonic() < deadline:  # agents are served a moment after all the rest
            koda = http.get(f"http://localhost:{at['koda']}/api/runtime/ready")

        assert (200, True) == (codex.status_code, codex.json())
        assert (200, "bearer") == (kasal.status_code, kasal.json()["token_type"])
        assert (200, "ready") == (koda.status_code, koda.json()["status"])


def test_a_native_port_in_use_is_refused(tmp_path: pathlib.Path) -> None:
    """One line says whose it is, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = {NATIVE: json.dumps({"koda": taken.getsockname()[1]})}
        refused = _up("--native-ports", "--port", "0", "--data-dir", str(tmp_path), env=env)

    assert 2 == refused.returncode
    assert "which is koda's, is in use" in refused.stderr
    assert 1 == refused.stderr.count("\n")


def test_of_two_meshes_at_once_on_one_port_one_is_ready(tmp_path: pathlib.Path) -> None:
    """The other has one line for it, and exit code 2."""
    (port,), (hold,) = ports.reserve(1)
    with hold, contextlib.ExitStack() as stack:
        logs = [stack.enter_context((tmp_path / f"{name}.log").open("w+")) for name in ("one", "two")]
        meshes = [
            stack.enter_context(
                subprocess.Popen(
                    [*UP, "--port", str(port), "--data-dir", f"{log.name}.data"],
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            )
            for log in logs
        ]
        try:
            said = [mesh.stdout.readline() for mesh in meshes if mesh.stdout is not None]
        finally:
            for mesh in meshes:
                mesh.terminate()
            codes = [mesh.wait(DEADLINE_S) for mesh in meshes]
        printed = [pathlib.Path(log.name).read_text() for log in logs]

    assert ["", f"agentmesh ready http://127.0.0.1:{port}\n"] == sorted(said)
    refused = said.index("")
    assert {refused: 2, 1 - refused: 0} == dict(enumerate(codes)), printed
    (line,) = printed[refused].splitlines()
    assert line.startswith(f"agentmesh: port {port} of 127.0.0.1 is in use: choose another")


def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path: pathlib.Path) -> None:
    """One line names the directory and the remedy."""
    (tmp_path / "file").write_text("")

    refused = _up("--port", "0", "--data-dir", str(tmp_path / "file" / "data"))

    assert 2 == refused.returncode
    assert "cannot write to the data directory" in refused.stderr
    assert "choose another with --data-dir" in refused.stderr
    assert 1 == refused.stderr.count("\n")


@pytest.mark.parametrize("password", ["", "admin"])
def test_an_open_door_needs_a_password(tmp_path: pathlib.Path, password: str) -> None:
    """Listening to other machines with the default password is refused before anything starts."""
    refused = _up(
        *("--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path)),
        env={"AGENTMESH_ADMIN_PASSWORD": password},
    )

    assert 2 == refused.returncode
    assert "set AGENTMESH_ADMIN_PASSWORD" in refused.stderr
    assert 1 == refused.stderr.count("\n")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("AGENTMESH_PUBLIC_URL", "https://mesh.example.com"), ("AGENTMESH_ALLOWED_HOSTS", "localhost,mesh.lan:80")],
)
def test_so_does_another_name(tmp_path: pathlib.Path, setting: str, value: str) -> None:
    """Others reach the mesh by it."""
    refused = _up("--port", "0", "--data-dir", str(tmp_path), env={setting: value, "AGENTMESH_ADMIN_PASSWORD": ""})

    assert 2 == refused.returncode
    assert setting in refused.stderr
    assert "set AGENTMESH_ADMIN_PASSWORD" in refused.stderr
    assert 1 == refused.stderr.count("\n")


@pytest.mark.parametrize(("option", "value"), [("--host", "no.such.host.invalid"), ("--port", "70000")])
def test_an_address_that_is_none_is_refused(tmp_path: pathlib.Path, option: str, value: str) -> None:
    """One line names the option."""
    refused = _up("--data-dir", str(tmp_path), option, value)

    assert 2 == refused.returncode
    assert refused.stderr.startswith(f"agentmesh: {option} {value}: ")
    assert 1 == refused.stderr.count("\n")


def test_a_mesh_that_cannot_start_gives_up_and_says_why(tmp_path: pathlib.Path) -> None:
    """A service that ends again and again before the mesh was ready ends the start, with exit code 1."""
    (tmp_path / "auth.db").mkdir(parents=True)

    with pytest.raises(MeshDidNotStart, match=r"giving up: auth ended 5 times"), running_mesh(data_dir=tmp_path):
        pass


async def test_a_service_can_be_served_alone(tmp_path: pathlib.Path) -> None:
    """`agentmesh serve auth` becomes that service, at the address the environment says; SIGTERM ends it."""
    (port,), (hold,) = ports.reserve(1)
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-P", "-m", "agentmesh.cli", "serve", "auth", "--data-dir", str(tmp_path)]
    with hold, subprocess.Popen(command, env={**os.environ, "AGENTMESH_AUTH_ADDRESS": address}) as process:
        async with asyncio.timeout(DEADLINE_S):
            await opening.until_healthy("auth", "grpc", address)
        process.send_signal(signal.SIGTERM)

        assert 0 == process.wait(DEADLINE_S)
    assert (tmp_path / "auth.db").exists()
