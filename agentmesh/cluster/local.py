"""`python -m agentmesh.cluster.local`: a Ray of one machine, for as long as this process and its parent live.

It has a head and no dashboard, sends no usage statistics, and asks for a token that only its mesh has.  Ray starts
processes in sessions of their own, so what it has started is known by descent: all orphans are ours, and end with us.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from types import FrameType

from agentmesh.cluster.names import HOOK, HOOK_VARIABLE
from agentmesh.host.own import descendants
from agentmesh.host.own.processes import end_with_parent
from agentmesh.supervisor import handing

PORT = "AGENTMESH_RAY_PORT"
CLIENT_PORT = "AGENTMESH_RAY_CLIENT_PORT"
FOLDER = "AGENTMESH_RAY_FOLDER"
CPUS = "AGENTMESH_RAY_CPUS"
MEMORY = "AGENTMESH_RAY_MEMORY"
_MEMORY_BYTES = 200 * 1024 * 1024
"""Of objects that flows' tasks pass to each other; it is taken as it is used."""
TRIES = "RUNTIME_ENV_RETRY_TIMES"
"""How often Ray tries to make an environment (`ray._private.runtime_env.agent`): three times unless said, and each
time it copies all that is installed here first, which takes half a minute.  An installer tries again by itself what may
succeed then.
"""
_END_S = 2.0
_LOOK_S = 0.01


class _Told(Exception):
    """Somebody wants us to end."""


def main() -> None:
    """Start it, wait until it ends or we are told to, and leave nothing behind."""
    parent = os.getppid()
    secrets = handing.handed()
    descendants.adopt_orphans()
    signal.signal(signal.SIGTERM, _tell)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = 1
    try:
        if not end_with_parent(parent):
            code = subprocess.Popen(_command(os.environ), env=_environment(secrets[handing.RAY_TOKEN])).wait()
    except _Told:
        code = 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end()
    sys.exit(code)


def _tell(number: int, frame: FrameType | None) -> None:
    raise _Told


def _command(environ: os._Environ[str]) -> list[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--port={environ[PORT]}", f"--ray-client-server-port={environ[CLIENT_PORT]}"]
    command += ["--node-ip-address=127.0.0.1", f"--temp-dir={environ[FOLDER]}"]
    # Random ones: a range may hold what somebody else listens on.
    command += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    command += ["--include-dashboard=false", "--disable-usage-stats", "--no-monitor"]
    command += [f"--object-store-memory={environ.get(MEMORY) or _MEMORY_BYTES}"]
    return command + ([f"--num-cpus={environ[CPUS]}"] if environ.get(CPUS) else [])


def _environment(token: str) -> dict[str, str]:
    """Return the environment of all that is Ray's, and so of its workers: they import what apps import."""
    folder = pathlib.Path(os.environ[FOLDER])
    shutil.rmtree(folder, ignore_errors=True)  # of a supervisor that was killed
    folder.mkdir(mode=0o711)
    path = folder / "token"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(token)
    return {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(path),
        "RAY_USAGE_STATS_ENABLED": "0",
        TRIES: "1",
        # Else what Ray starts yields to all others (nice 15), and so would hosts and jobs, which are its children.
        "RAY_worker_niceness": "0",
        HOOK_VARIABLE: HOOK,
    }


def _end() -> None:
    until = time.monotonic() + _END_S
    while (left := descendants.kill_strays(())) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    main()
