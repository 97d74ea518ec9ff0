"""The nursery keeps its hosts, whoever talks to it and however."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import psutil
import pytest
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec, NurseryEvent, NurseryOrder

from agentmesh.host.talk.frames import LENGTH, Pieces
from tests.host.stage import DEADLINE_S, until


class Talk:
    """One connection to a nursery."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._pieces = Pieces()
        self._heard: list[NurseryEvent] = []

    def say(self, order: NurseryOrder) -> None:
        """Send an order."""
        data = order.SerializeToString()
        self.sock.sendall(LENGTH.pack(len(data)) + data)

    def hear(self) -> NurseryEvent:
        """Return the next event."""
        while not self._heard:
            data = self.sock.recv(65536)
            assert data, "the nursery hung up"
            self._heard += [NurseryEvent.FromString(piece) for piece in self._pieces.feed(data)]
        return self._heard.pop(0)


@pytest.fixture(scope="module")
def path() -> Iterator[pathlib.Path]:
    """Return where a nursery's socket is to be."""
    with tempfile.TemporaryDirectory(prefix="am-") as folder:
        yield pathlib.Path(folder) / "nursery"


@pytest.fixture(scope="module", autouse=True)
def nursery(path: pathlib.Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a nursery."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agentmesh.host"], env={**os.environ, "AGENTMESH_NURSERY": str(path)}
    )
    yield process
    process.terminate()
    process.wait(DEADLINE_S)


@contextlib.contextmanager
def talking(path: pathlib.Path) -> Iterator[Talk]:
    """Connect, as soon as the nursery is there."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE_S)
        while sock.connect_ex(str(path)):
            pass
        yield Talk(sock)


def spec(host_id: str) -> HostSpec:
    """Return a host whose runner is not there: it dials until it is stopped."""
    return HostSpec(
        host_id=host_id,
        expose="demo",
        import_path="tests.runner.samples.flows:app",
        runner_address="127.0.0.1:1",
        fork=True,
    )


def test_hosts_outlive_the_connection_they_were_started_by(path: pathlib.Path) -> None:
    """The next client is told of them first, and may end them."""
    with talking(path) as first:
        before = first.hear()
        first.say(NurseryOrder(start=spec("demo-1")))
    with talking(path) as second:
        found = second.hear()
        second.say(NurseryOrder(stop="demo-1"))
        end = second.hear()

    assert "present" == before.WhichOneof("event")
    assert ["demo-1"] == list(found.present.host_ids)
    assert "demo-1" == end.exited.host_id
    assert end.exited.reason


@pytest.mark.parametrize(
    "nonsense",
    [b'{"op": "start"}\n', b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", LENGTH.pack(3) + b"\x0a\xff\xff"],
)
def test_an_order_that_is_none_ends_the_connection_only(path: pathlib.Path, nonsense: bytes) -> None:
    """The nursery takes the next client, and still has its hosts."""
    with talking(path) as talk:
        talk.hear()
        talk.say(NurseryOrder(start=spec("demo-2")))
        talk.sock.sendall(nonsense)
        assert b"" == talk.sock.recv(1)
    with talking(path) as talk:
        present = talk.hear().present
        talk.say(NurseryOrder(stop="demo-2"))
        end = talk.hear().exited

    assert ["demo-2"] == list(present.host_ids)
    assert "demo-2" == end.host_id


def test_a_runtime_env_that_is_no_mapping_fails_its_host_only(path: pathlib.Path) -> None:
    """The host ends by itself, and the nursery says so."""
    broken = spec("demo-3")
    broken.runtime_env_json = "[1]"
    with talking(path) as talk:
        talk.hear()
        talk.say(NurseryOrder(start=broken))
        end = talk.hear().exited

    assert "demo-3" == end.host_id


def test_what_a_host_has_left_is_removed(path: pathlib.Path, nursery: "subprocess.Popen[bytes]") -> None:
    """However it ended."""
    home = path.with_name("hosts") / "demo-4"
    with talking(path) as talk:
        talk.hear()
        talk.say(NurseryOrder(start=spec("demo-4")))
        until((home / "app" / "tmp").is_dir)
        (home / "app" / "tmp" / "left").touch()
        for host in psutil.Process(nursery.pid).children():
            host.kill()
        end = talk.hear().exited
    until(lambda: not home.exists())

    assert "demo-4" == end.host_id


def test_what_hosts_of_a_nursery_before_it_have_left_is_removed(tmp_path: pathlib.Path) -> None:
    """A nursery that is killed leaves that to the next."""
    left = tmp_path / "hosts" / "demo-1" / "1" / "tmp"
    left.mkdir(parents=True)
    (left / "file").touch()
    environment = {**os.environ, "AGENTMESH_NURSERY": str(tmp_path / "n")}
    with subprocess.Popen([sys.executable, "-m", "agentmesh.host"], env=environment) as process:
        try:
            until(lambda: not os.listdir(tmp_path / "hosts"))
        finally:
            process.terminate()


_CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    try:
        sock.sendall(b"\\xff" * 8)
        heard = sock.recv(1)
    except OSError:
        heard = b""
    sys.exit(len(heard))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED")
def test_who_is_not_of_the_mesh_gives_no_orders(path: pathlib.Path) -> None:
    """A stranger of the same user hears nothing, and does not take the runner's place."""
    with talking(path) as talk:
        talk.hear()
        # Not a child of whoever has started the nursery, as its runner is, but a child's.
        stranger = subprocess.run(["/bin/sh", "-c", '"$0" -c "$1" "$2"; exit $?', sys.executable, _CONNECT, str(path)])
        talk.say(NurseryOrder(start=spec("demo-5")))
        talk.say(NurseryOrder(stop="demo-5"))
        end = talk.hear().exited

    assert 0 == stranger.returncode
    assert "demo-5" == end.host_id


def test_its_hosts_are_told_nothing_of_it(tmp_path: pathlib.Path) -> None:
    """It starts itself anew where it was given more than apps may have."""
    environment = {**os.environ, "AGENTMESH_NURSERY": str(tmp_path / "n"), "SOMEBODYS_KEY": "x"}
    with subprocess.Popen([sys.executable, "-P", "-m", "agentmesh.host"], env=environment) as process:
        try:
            until((tmp_path / "n").exists)
            found = psutil.Process(process.pid)
            environ, command = found.environ(), found.cmdline()
        finally:
            process.terminate()

    assert "SOMEBODYS_KEY" not in environ
    assert ["-P", "-m", "agentmesh.host"] == command[1:]
