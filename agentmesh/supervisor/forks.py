"""The supervisor's side of the forkserver: start it when a program is to be forked, and wait for what it has forked."""

import asyncio
import contextlib
import json
import os
import socket
import sys
import types
from collections.abc import Mapping, Sequence

from agentmesh.supervisor import handing
from agentmesh.supervisor.child import CannotStart, Process, how_it_ended, kill_group, spawn
from agentmesh.supervisor.forkserver import MODULE
from agentmesh.supervisor.logs import LogPump
from agentmesh.supervisor.orphans import Family

POSSIBLE = sys.platform == "linux"
"""Whether programs can be forked here: it takes a parent that adopts orphans, and a descriptor to wait for them by."""

_ANSWER_BYTES_MAX = 4096
_END_S = 5.0


class Forked:
    """A program that was forked: a child of ours, though another process has started it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._loop = asyncio.get_running_loop()
        self._code: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of a signal; None while it runs."""
        return self._code.result() if self._code.done() else None

    async def wait(self) -> int:
        """Wait until it ends; return its `returncode`."""
        return await asyncio.shield(self._code)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        try:
            _, status = os.waitpid(self.pid, 0)
            self._code.set_result(os.waitstatus_to_exitcode(status))
        except ChildProcessError:  # somebody has collected it before us: how it ended is not known
            self._code.set_result(255)


class Forkserver:
    """Forks programs from one process that has imported `modules`; started on first use, and anew when it is gone.

    Another waits beside it, forked of it, and takes its place when it is killed: to import it all takes seconds.
    """

    def __init__(
        self, modules: Sequence[str], env: Mapping[str, str], logs: LogPump, family: Family | None = None
    ) -> None:
        """`family` is told of the forkserver's process; of what it forks, by whoever has asked for that."""
        self._family = family or Family()
        self._modules = modules
        self._env = dict(env)
        self._logs = logs
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._orders: socket.socket | None = None
        self._spare: tuple[Forked, socket.socket] | None = None
        self._leaving: list[Process] = []
        """Those that are to end, or have ended."""
        self._is_over = False

    @property
    def pid(self) -> int | None:
        """The running forkserver, if there is one."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def fork(
        self, name: str, module: str, env: Mapping[str, str], secrets: Mapping[str, str] = types.MappingProxyType({})
    ) -> Forked:
        """Fork a process that runs `module`; what it prints goes to the log as `name`'s.  Raises `CannotStart`.

        It finds `secrets` in its standard input; the forkserver sees none of them.
        """
        with handing.handing(secrets, env) as (stdin, env):
            return await self._fork(name, module, env, stdin)

    async def renew(self) -> None:
        """Have another that imports everything as it is on the disk now, if there ever was one; it is ready then.

        What was forked before runs on.  Raises `CannotStart` or `OSError`; the next order tries again.
        """
        async with self._turn:
            if self._process is None:
                return
            self._let_go_spare()
            self._kill()
            self._hang_up()
            self._leaving.append(self._process)
            await self._be_ready()

    async def _fork(self, name: str, module: str, env: Mapping[str, str], stdin: int) -> Forked:
        changes: dict[str, str | None] = dict.fromkeys(self._env.keys() - env.keys())
        changes.update({key: value for key, value in env.items() if self._env.get(key) != value})
        order = json.dumps({"module": module, "environ": changes}).encode()
        async with self._turn:
            await self._be_ready()
            return await self._obeyed(name, order, stdin)

    async def _obeyed(self, name: str, order: bytes, stdin: int) -> Forked:
        reader, writer = os.pipe()
        try:
            answer = json.loads(await self._tell(order, [stdin, writer]))
            if "pid" not in answer:
                raise CannotStart(answer["error"])
            forked = Forked(answer["pid"])
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self._logs.attach(name, reader)
        return forked

    async def _tell(self, order: bytes, fds: list[int]) -> bytes:
        orders = self._orders
        assert orders is not None, "ready"
        try:
            socket.send_fds(orders, [order], fds)
            answer = await asyncio.get_running_loop().sock_recv(orders, _ANSWER_BYTES_MAX)
        except OSError:
            answer = b""
        except asyncio.CancelledError:  # its answer is nobody's now, and must not be taken for the next order's
            self._kill()
            self._hang_up()
            raise
        if answer:
            return answer
        raise CannotStart(f"the forkserver {await self._gone()}")

    async def _be_ready(self) -> None:
        """Have a forkserver, and one to take its place."""
        self._check_wanted()
        if self._orders is None or self.pid is None:
            self._hang_up()
            if not self._take_spare():
                await self._start()
            if self._is_over:  # since it was begun
                self._kill()
            self._check_wanted()
        if not self._has_spare():
            self._let_go_spare()
            try:
                await self._fork_spare()
            except CannotStart:
                if self.pid is None:  # it died over that; else one has to do, there may be no memory for more
                    raise
            self._check_wanted()

    async def _start(self) -> None:
        self._orders, theirs = _pair()
        with theirs:
            command = [sys.executable, "-P", "-m", MODULE, *self._modules]
            self._process = await spawn("forks", command, self._env, self._logs, stdin=theirs.fileno())
            self._family.add(self._process.pid)

    def _has_spare(self) -> bool:
        return self._spare is not None and self._spare[0].returncode is None

    def _take_spare(self) -> bool:
        if self._spare is None or not self._has_spare():
            return False
        (self._process, self._orders), self._spare = self._spare, None
        return True

    async def _fork_spare(self) -> None:
        order = json.dumps({"module": MODULE, "environ": {}}).encode()
        ours, theirs = _pair()
        with theirs:
            try:
                spare = await self._obeyed("forks", order, theirs.fileno())
            except BaseException:
                ours.close()
                raise
        self._family.add(spare.pid)
        self._spare = spare, ours
        if self._is_over:  # since it was begun
            self._let_go_spare()

    def _check_wanted(self) -> None:
        if self._is_over:
            raise CannotStart("the forkserver has been told to end")

    async def _gone(self) -> str:
        """Make an end of a forkserver that does not answer; say how it ended."""
        assert self._process is not None, "it was asked"
        kill_group(self._process.pid)
        return how_it_ended(await self._process.wait())

    def end(self) -> None:
        """End the forkserver for good, also one that is being started.  What it has forked stays."""
        self._is_over = True
        self._kill()
        self._let_go_spare()
        if not self._turn.locked():  # else whoever waits for an answer hears that it ended
            self._hang_up()

    def _kill(self) -> None:
        if self.pid is not None:
            kill_group(self.pid)

    def _hang_up(self) -> None:
        if self._orders is not None:
            self._orders.close()
            self._orders = None

    def _let_go_spare(self) -> None:
        if self._spare is not None:
            spare, orders = self._spare
            orders.close()  # it ends by that
            self._spare = None
            self._leaving.append(spare)

    async def wait(self) -> None:
        """Wait until the forkserver has ended, if there was one; `end` has it end."""
        ending = [self._process, *self._leaving] if self._process is not None else self._leaving
        with contextlib.suppress(TimeoutError):  # whoever ends waits for nobody for ever
            async with asyncio.timeout(_END_S):
                for each in ending:
                    await each.wait()


def _pair() -> tuple[socket.socket, socket.socket]:
    """Return our end of a connection for orders, and the forkserver's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs
