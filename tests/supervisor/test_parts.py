"""The supervisor's parts, each with real processes, sockets and pipes."""

import asyncio
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

import psutil
import pytest

from agentmesh.supervisor import child, plan, ports, sockets
from agentmesh.supervisor.logs import LogPump
from agentmesh.supervisor.services import Service
from tests.ending import wait_procs

LEASH = pathlib.Path(child.__file__).with_name("leash.py")


def _spec(module: str) -> plan.ChildSpec:
    return plan.ChildSpec(name="part", service=Service(module=module, stop_order=1), address="")


def test_reserved_ports_are_free_for_tcp_and_held_against_other_meshes() -> None:
    """The child can bind the port; a second supervisor never gets it while the first holds it."""
    numbers, holds = ports.reserve(3)
    try:
        for number in numbers:
            with socket.create_server(("127.0.0.1", number)):
                assert not ports.is_free("127.0.0.1", number)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", number))
        assert 3 == len(set(numbers))
    finally:
        for hold in holds:
            hold.close()


def test_reserved_ports_are_below_those_of_outgoing_connections() -> None:
    """Nobody's outgoing connection can take one before the child binds it."""
    numbers, holds = ports.reserve(20)
    for hold in holds:
        hold.close()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        assert max(numbers) < peer.getsockname()[1]


def test_a_leashed_program_dies_with_its_parent() -> None:
    """The parent is killed with SIGKILL; the program under the leash ends too."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys\n"
            "command = [sys.executable, '-I', '-S', sys.argv[1], str(os.getpid()), '/bin/sleep', '600']\n"
            "leashed = subprocess.Popen(command)\n"
            "print(leashed.pid, flush=True)\n"
            "leashed.wait()",
            str(LEASH),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        leashed = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

    _, alive = wait_procs([leashed], timeout=60)

    assert [] == alive


def test_a_leash_whose_parent_is_gone_does_not_start_the_program() -> None:
    """The parent died before the kernel was asked to watch it: nothing is left to end the program."""
    done = subprocess.run([sys.executable, str(LEASH), "1", "/bin/echo", "started"], capture_output=True, check=False)

    assert (75, b"") == (done.returncode, done.stdout)


async def test_a_child_that_keeps_crashing_before_the_mesh_is_ready_is_given_up() -> None:
    """Five starts, then an error that names the child and how it ended."""
    reader, writer = os.pipe()
    logs = LogPump(writer)
    part = child.Child(_spec("no.such.module"), dict(os.environ), logs)

    with pytest.raises(child.GaveUp, match=r"part ended 5 times \(exit code 1\)"):
        await part.run(asyncio.Event())

    logs.close()
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert 4 == sum("starting it again in" in line for line in lines)


async def test_a_child_is_told_to_end_once_and_not_restarted(tmp_path: pathlib.Path) -> None:
    """`end` sends SIGTERM; `run` returns when the process is gone."""
    (tmp_path / "waits.py").write_text("import os, signal\nprint(os.getpid(), flush=True)\nsignal.pause()\n")
    reader, writer = os.pipe()
    logs = LogPump(writer)
    part = child.Child(_spec("waits"), {**os.environ, "PYTHONPATH": str(tmp_path)}, logs)
    running = asyncio.create_task(part.run(asyncio.Event()))
    with os.fdopen(reader) as lines:
        pid = int(json.loads(await asyncio.to_thread(lines.readline))["event"])
        assert pid == part.pid

        part.end()
        await asyncio.wait_for(running, 60)

        assert part.pid is None
        assert not psutil.pid_exists(pid)
        logs.close()
        os.close(writer)


async def test_children_are_in_sessions_of_their_own() -> None:
    """Ctrl-C at the terminal reaches the supervisor alone, which ends the others in order."""
    reader, writer = os.pipe()
    logs = LogPump(writer)
    process = await child.spawn("part", ["/bin/sleep", "600"], dict(os.environ), logs)

    assert process.pid == os.getsid(process.pid)

    child.kill_group(process.pid)
    assert -signal.SIGKILL == await process.wait()
    logs.close()
    os.close(reader)
    os.close(writer)


async def test_a_log_that_nobody_reads_stops_nobody() -> None:
    """With a full stderr the children go on; what does not fit is dropped and counted."""
    sink_reader, sink_writer = os.pipe()
    logs = LogPump(sink_writer)
    process = await child.spawn("loud", ["/bin/sh", "-c", f"yes {'x' * 200} | head -c 4000000"], dict(os.environ), logs)

    assert 0 == await asyncio.wait_for(process.wait(), 60)

    os.close(sink_reader)  # the writer thread gets EPIPE and ends
    logs.close()
    os.close(sink_writer)


async def test_lines_carry_the_name_of_the_child_and_long_ones_are_cut() -> None:
    """Each line has its child in front; one without an end does not grow without bound."""
    reader, writer = os.pipe()
    logs = LogPump(writer)
    script = "print('hello'); print('x' * 200_000)"
    process = await child.spawn("part", [sys.executable, "-c", script], dict(os.environ), logs)
    with os.fdopen(reader, "rb") as lines:
        first = await asyncio.to_thread(lines.readline)
        second = await asyncio.to_thread(lines.readline)

        assert ("part", "hello") == (json.loads(first)["process"], json.loads(first)["event"])
        assert len(second) <= 64 * 1024 + 256

        await process.wait()
        drained = asyncio.to_thread(lines.read)
        logs.close()
        os.close(writer)
        assert b"part" in await drained


def test_a_child_gets_the_start_directory_only_if_it_loads_apps(tmp_path: pathlib.Path) -> None:
    """PYTHONPATH names the start directory for the process that imports apps, for no other."""
    options = plan.Options(port=0, data_dir=tmp_path)
    with plan.settled(options) as settled:
        by_name = {spec.name: plan.child_env(spec, settled.env) for spec in settled.children}

    assert os.getcwd() in by_name["nursery"]["PYTHONPATH"].split(os.pathsep)
    assert settled.env.get("PYTHONPATH") == by_name["auth"].get("PYTHONPATH")


def test_the_sockets_of_a_mesh_are_in_a_folder_of_its_own_user_for_as_long_as_it_runs(tmp_path: pathlib.Path) -> None:
    """Every service has a name there that is short enough, and the folder goes with the mesh."""
    with plan.settled(plan.Options(port=0, data_dir=tmp_path / "data")) as settled:
        folder = pathlib.Path(settled.env["AGENTMESH_SOCKETS_DIR"])
        assert 0o40700 == folder.stat().st_mode
        assert os.geteuid() == folder.stat().st_uid
        inside = [spec.address for spec in settled.children if spec.service.probe == "grpc"]
        assert all(address.startswith(f"unix:{folder}/") and len(address) < 100 for address in inside)
        (door,) = [name for name in settled.env if name.startswith("AGENTMESH_") and name.endswith("_ADDRESS")]
        assert "AGENTMESH_HOSTS_ADDRESS" == door
        outside = pathlib.Path(settled.env[door].removeprefix("unix:")).parent
        assert outside != folder
        assert 0o40700 == outside.stat().st_mode
    assert not folder.exists()
    assert not outside.exists()


def test_the_folder_of_a_killed_mesh_is_removed_by_the_next(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its data directory was; that of one that runs stays, and so does what only has such a name."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os, signal, socket, tempfile; from agentmesh.supervisor import sockets\n"
        "tempfile.tempdir = os.environ['AT']\n"
        "with sockets.folder() as folder:\n"
        "    socket.socket(socket.AF_UNIX).bind(str(folder / 'auth.sock'))\n"
        "    print(folder, flush=True)\n"
        "    signal.pause()\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env={**os.environ, "AT": str(tmp_path)}, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        left = pathlib.Path(other.stdout.readline().strip())
        kept = tmp_path / f"{sockets.PREFIX}kept"
        kept.mkdir()
        (kept / "notes").write_text("somebody's")
        with sockets.folder() as ours:
            assert left.is_dir()
            sockets.sweep(tmp_path)
            assert ours.is_dir()
            assert (left / "auth.sock").exists()
        other.kill()
    assert left.is_dir()

    with sockets.folder():
        assert not left.exists()
        assert (kept / "notes").exists()


def test_a_long_folder_for_temporary_files_is_not_where_sockets_are(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket may have 107 bytes; nor is one where others could rename what is ours."""
    (deep := tmp_path / ("d" * 90)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with sockets.folder() as folder:
        assert pathlib.Path("/tmp") == folder.parent
    (open_to_all := tmp_path / "o").mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(open_to_all))

    with sockets.folder() as folder:
        assert open_to_all != folder.parent


def test_what_jobs_of_a_killed_mesh_have_left_is_the_next_nurserys_to_remove(tmp_path: pathlib.Path) -> None:
    """It moves there; a mesh that ends well removes it by itself."""
    options = plan.Options(port=0, data_dir=tmp_path / "data")
    with plan.settled(options) as settled:
        run_dir = pathlib.Path(settled.env["AGENTMESH_NURSERY"]).parent
        jobs_dir = pathlib.Path(settled.env["AGENTMESH_JOBS_DIR"])
        lock = (tmp_path / "data" / "up.lock").read_text()
        (jobs_dir / "demo-1" / "1").mkdir(parents=True)
    assert not jobs_dir.exists()
    (jobs_dir / "demo-1" / "1").mkdir(parents=True)
    (tmp_path / "data" / "up.lock").write_text(lock)

    with plan.settled(options) as settled:
        moved = pathlib.Path(settled.env["AGENTMESH_JOBS_DIR"])
        assert ["demo-1"] == os.listdir(moved)
        assert not jobs_dir.exists()

    assert not moved.exists()
    assert not run_dir.exists()


@pytest.mark.parametrize(
    ("asked", "said", "ports"),
    [
        (True, "", {"codex": 5246, "kasal": 8000, "koda": 8090}),
        (False, "", {}),
        (True, '{"koda": 18090}', {"koda": 18090}),
        (False, '{"koda": 18090}', {"koda": 18090}),
    ],
)
def test_native_ports_are_told_to_the_front_door(
    tmp_path: pathlib.Path, asked: bool, said: str, ports: dict[str, int]
) -> None:
    """Those of the documents, or those that the environment names; none unless they are asked for."""
    options = plan.Options(data_dir=tmp_path, native_ports=asked, port=0)
    native = plan.native_ports(options, {"AGENTMESH_NATIVE_PORTS": said})
    told = plan.make(options, "127.0.0.1", 3370, plan.Places(inside=tmp_path, door=tmp_path, jobs=tmp_path), native)

    assert ports == native
    assert ports == json.loads(told.env.get("AGENTMESH_NATIVE_PORTS", "{}"))


@pytest.mark.parametrize("said", ["{", "[]", '{"koda": 0}', '{"koda": true}', '{"koda": "8090"}', '{"koda": 65536}'])
def test_native_ports_that_are_none_are_refused(said: str) -> None:
    """The line names the setting."""
    with pytest.raises(plan.UsageError, match="AGENTMESH_NATIVE_PORTS"):
        plan.native_ports(plan.Options(), {"AGENTMESH_NATIVE_PORTS": said})


@pytest.mark.parametrize(("before", "told"), [(None, "mesh.lan"), ("other.lan", "other.lan,mesh.lan")])
def test_the_name_that_was_typed_is_one_of_the_mesh(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, before: str | None, told: str
) -> None:
    """People go on to type it: the front door answers to it, beside those of the environment."""
    monkeypatch.delenv(plan.ALLOWED_HOSTS, raising=False)
    if before is not None:
        monkeypatch.setenv(plan.ALLOWED_HOSTS, before)
    asked = plan.Options(data_dir=tmp_path, host="mesh.lan")
    made = plan.make(asked, "127.0.0.1", 3370, plan.Places(inside=tmp_path, door=tmp_path, jobs=tmp_path), {})

    assert told == made.env["AGENTMESH_ALLOWED_HOSTS"]
