"""The forkserver: imports what the services need once, and forks each of them from what is then loaded.

`python -P -m agentmesh.supervisor.forkserver MODULE[:FUNCTION]...`, with a unix socket as its standard input.  It
imports the modules by their names, calls the functions, and then takes orders, one at a time: a JSON object
`{"module", "environ"}` with two file descriptors, which become a program's standard input and its output.  The program
is what `python -P -m MODULE` would be in that environment, but what was imported is loaded already, in memory that all
of them share until one writes to it.  The answer is `{"pid"}` or `{"error"}`.  When the socket ends, so does the
forkserver.  An order for this module itself forks another forkserver, which takes orders from its standard input: it
costs next to no memory, and is ready when this one is killed.

It forks twice, and the process in between ends at once: the supervisor, which adopts orphans (`orphans.py`), is then
the program's parent.  So the kernel tells the supervisor how the program ends, and a forkserver that is killed takes
nobody with it.

A fork copies one thread only: nothing that is imported or called here may start a thread or gRPC.  Linux only.
"""

import contextlib
import ctypes
import errno
import gc
import importlib
import json
import os
import pathlib
import runpy
import socket
import sys
from typing import Any

from agentmesh import _rooms
from agentmesh.supervisor.leash import die_with

MODULE = "agentmesh.supervisor.forkserver"
ORDER_BYTES_MAX = 128 * 1024


def main() -> None:
    """Import, then fork on demand until the socket ends; in a fork, run its program."""
    supervisor = os.getppid()
    _rooms.enter()
    with socket.socket(fileno=os.dup(0)) as orders:
        for name in sys.argv[1:]:
            with contextlib.suppress(Exception):  # the program that needs it fails by the same error, in its own log
                _prepare(name)
        gc.collect()
        gc.freeze()  # they are here for good: a collector that walks over them would copy their pages into each fork
        order = _serve(orders, supervisor)
    while order is not None and order["module"] == MODULE:
        with socket.socket(fileno=os.dup(0)) as orders:
            order = _serve(orders, supervisor)
    if order is not None:
        _become(order)


def _prepare(name: str) -> None:
    module, _, function = name.partition(":")
    loaded = importlib.import_module(module)
    if function:
        getattr(loaded, function)()


def _serve(orders: socket.socket, supervisor: int) -> dict[str, Any] | None:
    """Carry out orders until there are no more; return in a fork at once, with the order it is to follow."""
    while True:
        data, fds, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, 2, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return None
        gate, opener = os.pipe()
        try:
            pid = _fork_twice()
            answer: dict[str, Any] = {"pid": pid}
        except OSError as error:  # no memory, or too many processes
            pid, answer = -1, {"error": f"cannot be forked: {error.strerror}"}
        if pid == 0:
            os.close(opener)
            os.read(gate, 1)  # until the forkserver knows that the process in between has gone
            os.close(gate)
            os.setsid()  # Ctrl-C at the terminal reaches only the supervisor
            die_with(supervisor)
            _take_stdio(*fds)
            return dict(json.loads(data))
        for fd in (gate, opener, *fds):
            os.close(fd)
        orders.send(json.dumps(answer).encode())


def _fork_twice() -> int:
    """Fork a process that is not our child; return its number, or 0 in the process itself.

    Raises `OSError`, never in a fork.  The process in between has ended when this returns in the forkserver.
    """
    reader, writer = os.pipe()
    try:
        between = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if between == 0:
        try:
            said = os.fork()
        except OSError as error:
            said = -(error.errno or errno.EAGAIN)
        if said != 0:
            os.write(writer, str(said).encode())
            os._exit(0)
    os.close(writer)
    if between == 0:
        os.close(reader)
        return 0
    os.waitpid(between, 0)
    with os.fdopen(reader) as answer:
        said = int(answer.read() or -errno.ECHILD)
    if said < 0:
        raise OSError(-said, os.strerror(-said))
    return said


def _take_stdio(stdin: int, output: int) -> None:
    for number, fd in enumerate((stdin, output, output)):
        os.dup2(fd, number)
    os.close(stdin)
    os.close(output)


def _become(order: dict[str, Any]) -> None:
    """Run the program of an order, as `python -P -m` does."""
    for name, value in order["environ"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    module = order["module"]
    sys.argv[1:] = []
    _retitle([sys.executable, "-P", "-m", module])
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _retitle(command: list[str]) -> None:
    """Let `ps` show the command line this process would have had by itself, if there is room for it."""
    fields = pathlib.Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end: fields 48 and 49 in proc(5)
    title = b"".join(os.fsencode(word) + b"\0" for word in command)
    if len(title) <= end - start:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, title, len(title))


if __name__ == "__main__":
    main()
