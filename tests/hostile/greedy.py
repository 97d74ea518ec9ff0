"""Flows that take whatever they get, and one that does what ordinary ones do."""

import ctypes.util
import errno
import http.server
import multiprocessing
import multiprocessing.shared_memory
import os
import pathlib
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from agentmesh import ServeAPI, Tracer

MIB = 1024 * 1024
app = ServeAPI()
at_import = tempfile.NamedTemporaryFile(mode="w+")  # noqa: SIM115
at_import.write("made at the import")
at_import.flush()


def memory(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Take memory for ever."""
    kept = []
    while True:
        kept.append(bytearray(8 * MIB))


def _until_refused(take: Callable[[], Any]) -> dict[str, Any]:
    """Take until the kernel refuses; return how much was taken, and the refusal."""
    taken = 0
    while True:
        try:
            take()
        except OSError as error:
            return {"taken": taken, "refusal": errno.errorcode[error.errno or 0]}
        taken += 1


def processes(inputs: dict[str, Any], tracer: Tracer) -> dict[str, Any]:
    """Start processes for ever, and leave all of them."""
    sleep = shutil.which("sleep") or ""
    return _until_refused(lambda: os.posix_spawn(sleep, [sleep, "600"], os.environ))


def files(inputs: dict[str, Any], tracer: Tracer) -> dict[str, Any]:
    """Open files for ever."""
    kept: list[int] = []
    try:
        return _until_refused(lambda: kept.append(os.open(os.devnull, os.O_RDONLY)))
    finally:
        for fd in kept:
            os.close(fd)


def file_size(inputs: dict[str, Any], tracer: Tracer) -> dict[str, Any]:
    """Write to one file for ever."""
    with open("/".join((os.environ["TMPDIR"], "large")), "wb", buffering=0) as file:
        return _until_refused(lambda: file.write(bytes(MIB)))


# -- what ordinary flows do ------------------------------------------------------------------------------------------


def ordinary(inputs: dict[str, Any], tracer: Tracer) -> dict[str, str]:
    """Do one thing after the other; return what did not work, and why."""
    failed = {}
    for work in _WORK:
        try:
            work()
        except BaseException as error:
            failed[work.__name__] = f"{type(error).__name__}: {error}"
    return failed


def _lazy_imports() -> None:
    import xmlrpc.server  # noqa: F401

    import jsonschema_rs  # noqa: F401


def _database() -> None:
    with sqlite3.connect(pathlib.Path.home() / "mine.db") as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (n)")


def _temporary_files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a")
        path.write_text("text")
        path.rename(path.with_name("b"))
        os.link(path.with_name("b"), path)
        (pathlib.Path(folder) / "c").mkdir()
        os.rename(path, f"{folder}/c/d")
        shutil.copytree(f"{folder}/c", f"{folder}/e")
        os.symlink("c", f"{folder}/f")
        os.chmod(f"{folder}/b", 0o755)
        os.mkfifo(f"{folder}/g")


def _files_of_the_app() -> None:
    assert "made at the import" == pathlib.Path(at_import.name).read_text()
    assert pathlib.Path(__file__).read_text()


def _shared_memory() -> None:
    block = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
    block.close()
    block.unlink()
    with multiprocessing.get_context("spawn").Manager() as manager:
        assert [1] == list(manager.list([1]))


def _threads() -> None:
    threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _programs() -> None:
    script = "echo said > /dev/stderr; date > when; cat when > /dev/null; ls / > /dev/null || true; (exit 0)"
    subprocess.run(["sh", "-c", script], check=True, cwd=os.environ["TMPDIR"])
    subprocess.run([sys.executable, "-c", "import ssl, sqlite3, httpx"], check=True)
    program = pathlib.Path(os.environ["TMPDIR"], "program")
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    subprocess.run([str(program)], check=True)


def _network() -> None:
    assert socket.getaddrinfo("localhost", 80)
    assert ssl.create_default_context().cert_store_stats()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"http://127.0.0.1:{server.server_port}/none").status_code in (403, 404)
    server.shutdown()
    server.server_close()


def _machine() -> None:
    assert os.cpu_count()
    assert pathlib.Path("/proc/meminfo").read_text()
    assert pathlib.Path("/proc/self/status").read_text()
    assert os.listdir("/proc/self/fd")
    with open("/dev/urandom", "rb") as random:
        assert random.read(1)
    if "KODOSUMI_FID" in os.environ:  # that of a worker is its host's
        with open("/dev/stdout", "w") as out:
            out.write("by its name\n")
    ctypes.util.find_library("c")
    time.tzset()


def _terminal() -> None:
    ours, theirs = os.openpty()
    os.write(theirs, b"typed")
    assert b"typed" == os.read(ours, 5)
    os.close(ours)
    os.close(theirs)


_WORK = (
    _lazy_imports,
    _database,
    _temporary_files,
    _files_of_the_app,
    _shared_memory,
    _threads,
    _programs,
    _network,
    _machine,
    _terminal,
)
