"""An app whose jobs start what is to outlive them: programs that do nothing, under a name that the test knows."""

import asyncio
import contextlib
import os
import pathlib
import signal
import stat
import subprocess
import sys
import threading
import time
from typing import Any

import pydantic
from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from agentmesh import ServeAPI, Tracer
from agentmesh.host.talk.frames import Kind, pack

app = ServeAPI()
_SLEEP = "/bin/sleep"


class Plan(pydantic.BaseModel):
    """What to do."""

    how: str
    """To start something."""
    name: str
    """Of what is started."""
    end: str = "return"
    """Of the job."""


def _become(name: str) -> None:
    os.execv(_SLEEP, [name, "600"])


def _fork(*, setsid: bool = False, deaf: bool = False, times: int = 1, name: str) -> None:
    """Fork as often, one from the other, each ending; the last becomes a program."""
    if os.fork():
        return
    if setsid:
        os.setsid()
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if times > 1:
        _fork(setsid=setsid, deaf=deaf, times=times - 1, name=name)
        os._exit(0)
    _become(name)


def _nohup(name: str) -> None:
    script = f"import os; os.execv({_SLEEP!r}, [{name!r}, '600'])"
    subprocess.Popen(["/usr/bin/nohup", sys.executable, "-c", script], stdout=subprocess.DEVNULL)


def _popen(name: str) -> None:
    subprocess.Popen([name, "600"], executable=_SLEEP, start_new_session=True)


def _spawn(name: str) -> None:
    os.posix_spawn(_SLEEP, [name, "600"], os.environ)


def _tree(name: str) -> None:
    """Start a program that adopts orphans itself, with children in sessions of their own."""
    if os.fork():
        return
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    for _ in range(3):
        _fork(setsid=True, times=2, name=name)
    _become(name)


def _refuse_orphans(name: str) -> None:
    """Have what is left behind go where it would without the mesh."""
    import ctypes

    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
    _fork(setsid=True, times=2, name=name)


def _at_exit(name: str) -> None:
    """Fork from a thread for as long as the process lives, and a little longer."""

    def run() -> None:
        while True:
            _fork(setsid=True, times=2, name=name)
            time.sleep(0.005)

    threading.Thread(target=run, daemon=True).start()


def _chain(name: str) -> None:
    """Fork on and on: each process ends when it has started the next, in a session of its own."""
    if os.fork():
        return
    _fork(setsid=True, name=name)
    while True:
        if os.fork():
            os._exit(0)
        os.setsid()
        time.sleep(0.001)


STARTS = {
    "fork": lambda name: _fork(name=name),
    "double fork": lambda name: _fork(times=2, name=name),
    "setsid": lambda name: _fork(setsid=True, name=name),
    "daemon": lambda name: _fork(setsid=True, times=2, name=name),
    "deaf": lambda name: _fork(setsid=True, deaf=True, times=2, name=name),
    "nohup": _nohup,
    "popen": _popen,
    "spawn": _spawn,
    "tree": _tree,
    "refuse orphans": _refuse_orphans,
    "at exit": _at_exit,
    "chain": _chain,
}


def is_there(name: str) -> bool:
    """Return whether a program of that name runs."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().split(b"\0")[0] == name.encode():
                return True
        except OSError:
            continue
    return False


def _until_there(name: str) -> None:
    while not is_there(name):
        time.sleep(0.01)


async def say_the_end(inputs: Plan, tracer: Tracer) -> None:
    """Say at the job's own channel how it has ended, and go on."""
    outcome = host_pb2.Outcome(state=job_pb2.JOB_STATE_SUCCEEDED, result_json='{"str": "said"}')
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, pack(Kind.OUTCOME, outcome.SerializeToString()))
    _become(inputs.name)


async def outlive(inputs: Plan, tracer: Tracer) -> Any:
    """Start something, see it run, and end as told."""
    STARTS[inputs.how](inputs.name)
    await asyncio.to_thread(_until_there, inputs.name)
    await tracer.debug(f"{os.getpid()} {pathlib.Path.home()}")
    match inputs.end:
        case "raise":
            raise ValueError("no")
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            await asyncio.Event().wait()
    return inputs.how


app.flow("/alone", isolation="process")(outlive)
app.flow("/shared", isolation="shared")(outlive)
