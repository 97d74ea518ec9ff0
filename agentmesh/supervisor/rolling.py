"""A planned restart: one service after the other, each answering again before the next one is ended.

SIGUSR1 asks for it.  Hosts and the front door stay: a host comes back to a runner that was restarted, with the jobs it
holds, and the front door tries calls again that did not reach anybody.  `restarts` keeps how it went.

What services are forked from is renewed ahead of them, so that they run what is installed now.
"""

import asyncio
import contextlib
import pathlib
from collections.abc import Awaitable, Callable, Sequence

from agentmesh.supervisor import restarts
from agentmesh.supervisor.child import CannotStart, Child
from agentmesh.supervisor.logs import LogPump

_END_S = 15.0
"""How long a service may take to end before it is killed."""
Healthy = Callable[[Child], Awaitable[bool]]
"""Waits until a child answers; False if it does not in time."""
Renew = Callable[[], Awaitable[None]]
"""Has what services are forked from import everything anew.  Raises `CannotStart` or `OSError`."""


class Rolling:
    """Restarts the services of a mesh when it is asked to."""

    def __init__(
        self, children: Sequence[Child], healthy: Healthy, renew: Renew, folder: pathlib.Path, logs: LogPump
    ) -> None:
        self._children = [child for child in children if child.spec.service.replicated]
        self._healthy = healthy
        self._renew = renew
        self._folder = folder
        self._logs = logs
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have the services restarted; one that goes on now is followed by another."""
        self._asked.set()

    async def run(self) -> None:
        """Restart services whenever it is asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                how = await self._restart()
            except (CannotStart, OSError) as error:  # no process or no descriptor is left; the next try may do
                how = f"it failed: {error}"
            self._note(how)

    async def _restart(self) -> str:
        """Return `done`, or why the rest was left as it is."""
        await self._renew()
        for child in self._children:
            self._logs.say(f"{child.spec.name} is restarted, as planned")
            await child.renew(_END_S)
            if not await self._healthy(child):
                return f"{child.spec.name} does not answer: the services behind it were not restarted"
        return restarts.DONE

    def _note(self, how: str) -> None:
        self._logs.say(f"the planned restart: {how}")
        with contextlib.suppress(OSError):  # the disk is full: whoever asked hears that nothing was said in time
            restarts.note(self._folder, how)
