"""What a mesh under faults stands on can fail, and be well again."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from agentmesh.supervisor import ports
from tests.faults import clocks, disks, recovery
from tests.faults.recovery import Pulse
from tests.faults.relay import relaying
from tests.servers.postgresql import running_postgres

DISKS: list[Callable[[], disks.Disk]] = [disks.Limited, *([disks.Mounted] if disks.may_mount() else [])]
PATIENCE_S = 60.0
TELL = "import sys, time\nfor _ in sys.stdin: print(int(time.time() - time.monotonic()), flush=True)"


@pytest.mark.parametrize("kind", DISKS)
def test_a_servers_disk_is_full_for_a_while(kind: Callable[[], disks.Disk]) -> None:
    """It takes no rows then; what it took before and takes later is there, though it may have ended meanwhile."""
    disk = kind()
    with running_postgres(disk=disk.under) as server:
        server.sql("CREATE TABLE kept (words text)")
        server.sql("INSERT INTO kept VALUES ('before')")
        disk.fill(server)
        with pytest.raises(RuntimeError):
            server.sql("CREATE TABLE lost AS SELECT repeat(i::text, 100) FROM generate_series(1, 200000) i")
        disk.free(server)
        server.sql("INSERT INTO kept VALUES ('after')")

        assert "before\nafter" == server.sql("SELECT words FROM kept")


def test_a_cut_network_lets_nothing_through_and_tells_nobody() -> None:
    """Who was connected stays so, and what was said meanwhile comes late."""
    (here,), (hold,) = ports.reserve(1)
    with hold, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        with relaying(here, listener.getsockname()[1]) as way:
            listener.accept()[0].close()  # whoever looked whether it is up
            with socket.create_connection(("127.0.0.1", here), PATIENCE_S) as near, listener.accept()[0] as far:
                far.settimeout(PATIENCE_S)
                near.sendall(b"1")
                assert b"1" == far.recv(8)

                way.cut()
                near.sendall(b"2")
                far.setblocking(False)
                with pytest.raises(BlockingIOError):
                    far.recv(8)
                far.settimeout(PATIENCE_S)
                way.mend()

                assert b"2" == far.recv(8)
                far.close()
                assert b"" == near.recv(8)


def test_a_clock_is_wrong_for_those_who_are_told_of_it() -> None:
    """The time of day only: what counts seconds goes on."""
    right = int(time.time() - time.monotonic())
    with clocks.clock() as clock:
        command = [sys.executable, "-S", "-c", TELL]
        with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, bufsize=1, env=clock.env) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for by_s in (0, 300, -3600, 0):
                clock.set(by_s)
                deadline = time.monotonic() + PATIENCE_S
                told = None
                while told is None or abs(told - right - by_s) > 2:
                    assert time.monotonic() < deadline, (told, right, by_s)
                    process.stdin.write("\n")
                    told = int(process.stdout.readline())
            process.stdin.close()


def test_well_again_is_when_what_was_asked_for_since_has_ended_well() -> None:
    """Not what was asked for before, and nothing can be said where nothing was asked for since."""
    pulses = [Pulse(1.0, 4.0), Pulse(5.0, 5.5), Pulse(8.0, 8.5)]

    assert {"a": [3.0, 0.5], "b": [2.5]} == recovery.times([("a", 1.0), ("a", 8.0), ("b", 3.0), ("b", 9.0)], pulses)
    assert 2.0 == recovery.quantile([3.0, 1.0, 2.0], 0.5)
    assert 3.0 == recovery.quantile([3.0, 1.0, 2.0], 0.95)
