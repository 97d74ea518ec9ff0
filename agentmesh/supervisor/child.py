"""One child process: started on a leash, restarted with back-off when it crashes, ended when told to."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import time

from agentmesh.supervisor import plan
from agentmesh.supervisor.logs import LogPump

_LEASH = pathlib.Path(__file__).with_name("leash.py")
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0
_STEADY_S = 30.0
_CRASHES_MAX = 5


class GaveUp(Exception):
    """A child crashed again and again before the mesh was ready."""


async def spawn(name: str, argv: list[str], env: dict[str, str], logs: LogPump) -> asyncio.subprocess.Process:
    """Start a program that dies with us, in a session of its own: Ctrl-C at the terminal reaches only us.

    What it prints goes to `logs`.
    """
    reader, writer = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            env=env,
            start_new_session=True,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    logs.attach(name, reader)
    return process


class Child:
    """Keeps one program of the plan running."""

    def __init__(self, spec: plan.ChildSpec, env: dict[str, str], logs: LogPump) -> None:
        self.spec = spec
        self._env = env
        self._logs = logs
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The running process, if there is one."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def run(self, ready: asyncio.Event) -> None:
        """Run the program until `end` is called.

        Raises `GaveUp` when it ends by itself five times while `ready` is not set; later it is restarted for ever.
        """
        crashes = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            self._process = await spawn(self.spec.name, plan.command(self.spec), self._env, self._logs)
            if self._stopping.is_set():  # told to end while it was being started
                self.end()
            code = await self._process.wait()
            if self._stopping.is_set():
                return
            kill_group(self._process.pid)  # what it has left behind would hold its ports and files
            crashes = 1 if time.monotonic() - started > _STEADY_S else crashes + 1
            if crashes >= _CRASHES_MAX and not ready.is_set():
                raise GaveUp(f"{self.spec.name} ended {crashes} times ({_how(code)}); its last lines are above")
            delay_s = min(_BACKOFF_FIRST_S * 2 ** (crashes - 1), _BACKOFF_MAX_S)
            self._logs.say(f"{self.spec.name} ended ({_how(code)}): starting it again in {delay_s:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    def end(self) -> None:
        """Ask the program to end, and do not start it again."""
        self._stopping.set()
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the program and what it has started in its session, now."""
        self._stopping.set()
        if self._process is not None:
            kill_group(self._process.pid)


def kill_group(pid: int) -> None:
    """Kill what is left of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
