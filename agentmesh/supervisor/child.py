"""One child process: started on a leash, restarted with back-off when it crashes, ended when told to."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from agentmesh.supervisor import handing, plan
from agentmesh.supervisor.logs import LogPump
from agentmesh.supervisor.orphans import Family

_LEASH = pathlib.Path(__file__).with_name("leash.py")
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0
_STEADY_S = 30.0
_CRASHES_MAX = 5


class GaveUp(Exception):
    """A child crashed again and again before the mesh was ready."""


class CannotStart(Exception):
    """A child could not be started; another try may do."""


class Process(Protocol):
    """A process that was started: spawned, or forked."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of a signal; None while it runs."""

    async def wait(self) -> int:
        """Wait until it ends; return its `returncode`."""


Fork = Callable[[str, str, dict[str, str], Mapping[str, str]], Awaitable[Process]]
"""Start a name's module in an environment with secrets, from what is imported already.  Raises `CannotStart`."""


async def spawn(
    name: str,
    argv: list[str],
    env: dict[str, str],
    logs: LogPump,
    *,
    stdin: int = asyncio.subprocess.DEVNULL,
    secrets: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Start a program that dies with us, in a session of its own: Ctrl-C at the terminal reaches only us.

    What it prints goes to `logs`.  It finds `secrets` in its standard input, if there are any.
    """
    if secrets:
        with handing.handing(secrets, env) as (stdin, env):
            return await spawn(name, argv, env, logs, stdin=stdin)
    reader, writer = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *argv),
            stdin=stdin,
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
    """Keeps one program of the plan running; it is forked if there is a way to, or else a program of its own."""

    def __init__(
        self,
        spec: plan.ChildSpec,
        env: dict[str, str],
        logs: LogPump,
        *,
        secrets: Mapping[str, str] | None = None,
        fork: Fork | None = None,
        family: Family | None = None,
    ) -> None:
        """`secrets` are handed over at each start; `family` is told of each process."""
        self.spec = spec
        self._family = family or Family()
        self._secrets = secrets or {}
        self._env = env
        self._logs = logs
        self._fork = fork
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._renewed: asyncio.Event | None = None
        """While it is restarted as planned: set when another process is there."""

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
            how = await self._run_once()
            if self._stopping.is_set():
                return
            if self._renewed is not None:
                crashes = 0
                continue
            crashes = 1 if time.monotonic() - started > _STEADY_S else crashes + 1
            if crashes >= _CRASHES_MAX and not ready.is_set():
                raise GaveUp(f"{self.spec.name} ended {crashes} times ({how}); its last lines are above")
            delay_s = min(_BACKOFF_FIRST_S * 2 ** (crashes - 1), _BACKOFF_MAX_S)
            self._logs.say(f"{self.spec.name} ended ({how}): starting it again in {delay_s:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()

    async def _run_once(self) -> str:
        """Run the program until it ends; say how."""
        try:
            with self._family.birth():
                self._process = await self._start()
                self._family.add(self._process.pid)
        except (CannotStart, OSError) as error:  # no descriptors, no memory: another try may do
            self._renewed = None
            return str(error)
        if self._renewed is not None:
            self._renewed.set()
            self._renewed = None
        if self._stopping.is_set():  # told to end while it was being started
            self.end()
        code = await self._process.wait()
        self._family.remove(self._process.pid)
        if not self._stopping.is_set():
            kill_group(self._process.pid)  # what it has left behind would hold its ports and files
            if self.spec.service.loads_apps:  # what apps have left behind may be anywhere
                await self._family.kill_strays()
        return how_it_ended(code)

    async def _start(self) -> Process:
        if self._fork is not None:
            return await self._fork(self.spec.name, self.spec.service.module, self._env, self._secrets)
        return await spawn(self.spec.name, plan.command(self.spec), self._env, self._logs, secrets=self._secrets)

    async def renew(self, patience_s: float) -> None:
        """Have the program end, within so many seconds or by force, and start it again at once."""
        if self.pid is None or self._stopping.is_set():  # it is being started anyway
            return
        renewed = self._renewed = asyncio.Event()
        os.kill(self.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(patience_s):
                await renewed.wait()
        except TimeoutError:
            if self._renewed is renewed and self._process is not None:
                kill_group(self._process.pid)

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


def how_it_ended(code: int) -> str:
    """Return the name of the signal that has ended a process, or its exit code."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
