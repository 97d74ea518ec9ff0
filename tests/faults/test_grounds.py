"""What a mesh under faults stands on can fail, and be well again."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from agentmesh.supervisor import ports
from tests.faults import disks, recovery, vdso
from tests.faults.recovery import Pulse
from tests.faults.relay import may_have_namespaces, relaying
from tests.servers.postgresql import running_postgres

DISKS: list[Callable[[], disks.Disk]] = [disks.Limited, *([disks.Mounted] if disks.may_mount() else [])]
PATIENCE_S = 60.0
NEAR_S = 15.0
TELL = """
import os, subprocess, sys, time
for _ in sys.stdin:
    print(time.time(), flush=True)
    if os.fork() == 0:
        print(time.time(), flush=True)
        os._exit(0)
    os.wait()
    subprocess.run([sys.executable, "-S", "-c", "import time; print(time.time())"])
    print(time.monotonic(), flush=True)
"""
ASK = """
import ctypes, sys, threading, time
libc = ctypes.CDLL(None)
def ask():
    both = (ctypes.c_long * 2)()
    libc.gettimeofday(both, None)
    kept = ctypes.c_long()
    libc.time(ctypes.byref(kept))
    return time.time(), time.clock_gettime(5), both[0], kept.value
def on():
    while True: ask()
for _ in range(3): threading.Thread(target=on, daemon=True).start()
for _ in sys.stdin: print(*ask(), flush=True)
"""


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


@pytest.mark.parametrize("namespaced", [False, *([True] if may_have_namespaces() else [])])
def test_a_cut_network_lets_nothing_through_and_tells_nobody(namespaced: bool) -> None:
    """Who was connected stays so, and what was said meanwhile comes late."""
    (here,), (hold,) = ports.reserve(1)
    with hold, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        with relaying(here, listener.getsockname()[1], namespaced=namespaced) as way:
            listener.accept()[0].close()  # whoever looked whether it is up
            host = way.address.partition(":")[0]
            with socket.create_connection((host, here), PATIENCE_S) as near, listener.accept()[0] as far:
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


def test_a_clock_is_wrong_for_a_process_that_runs_and_for_what_it_forks() -> None:
    """The time of day only, not what counts seconds.  That it asked is counted; what it executes has the right one."""
    command = [sys.executable, "-S", "-c", TELL]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for by_s in (0, 300, -3600, 0):
            vdso.set_clock(process.pid, by_s)
            before = vdso.told_wrong(process.pid)
            process.stdin.write("\n")
            itself, forked, executed, counting = (float(process.stdout.readline()) for _ in range(4))

            assert abs(itself - time.time() - by_s) < NEAR_S
            assert abs(forked - time.time() - by_s) < NEAR_S
            assert abs(executed - time.time()) < NEAR_S
            assert abs(counting - time.monotonic()) < NEAR_S
            assert (vdso.told_wrong(process.pid) > before) == (by_s != 0)
            assert by_s == vdso.clock_of(process.pid)
        process.stdin.close()


def test_a_clock_is_wrong_whichever_function_is_asked_by_however_many_threads() -> None:
    """A program goes on as if nothing had happened, however often its clock is set while its threads ask."""
    with subprocess.Popen([sys.executable, "-S", "-c", ASK], stdin=-1, stdout=-1, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for turn in range(100):
            vdso.set_clock(process.pid, turn)
        process.stdin.write("\n")
        told = process.stdout.readline().split()
        process.stdin.close()

    assert 4 == len(told)
    assert all(abs(float(each) - time.time() - 99) < NEAR_S for each in told)
    assert 0 == process.returncode


def test_well_again_is_when_what_was_asked_for_since_has_ended_well() -> None:
    """Not what was asked for before, and nothing can be said where nothing was asked for since."""
    pulses = [Pulse(1.0, 4.0), Pulse(5.0, 5.5), Pulse(8.0, 8.5)]

    assert {"a": [3.0, 0.5], "b": [2.5]} == recovery.times([("a", 1.0), ("a", 8.0), ("b", 3.0), ("b", 9.0)], pulses)
    assert 2.0 == recovery.quantile([3.0, 1.0, 2.0], 0.5)
    assert 3.0 == recovery.quantile([3.0, 1.0, 2.0], 0.95)
