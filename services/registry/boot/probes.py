"""Whether flows answer: asked when an app is booted, when an operator wants to know, and again of those that did not.

A flow whose first answer takes long, as it loads a model, is found dead by its boot, and alive when it has answered.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from meshkit.errors import MeshError
from services.registry.boot.records import Records
from services.registry.domain.exposes import Expose, FoundFlow, Probe
from services.registry.domain.standings import standing
from services.registry.standings import Standings

log = structlog.get_logger()
_AT_ONCE = 8
_SLOWEST = 16
"""A flow that stays dead is asked less and less often, in the end at every sixteenth look."""


class Probes:
    """Asks flows for their forms, a few at once."""

    def __init__(self, apps: Standings, *, timeout_s: float) -> None:
        self._apps = apps
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, expose: str, flow: FoundFlow) -> Probe:
        """Return what a flow answers."""
        async with self._slots:
            try:
                return Probe(http_status=await self._apps.probe(expose, flow.path, self._timeout_s))
            except MeshError as error:
                return Probe(error_reason=error.reason)

    async def all(self, expose: str, flows: Iterable[FoundFlow]) -> Mapping[str, Probe]:
        """Return what flows answer, by path."""
        asked = list(flows)
        answers = await asyncio.gather(*(self.ask(expose, flow) for flow in asked))
        return {flow.path: answer for flow, answer in zip(asked, answers, strict=True)}


class Rounds:
    """Looks again at flows, and writes down what they answer."""

    def __init__(
        self,
        records: Records,
        apps: Standings,
        probes: Probes,
        *,
        every_s: float,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._records = records
        self._apps = apps
        self._probes = probes
        self._every_s = every_s
        self._sleep = sleep
        self._misses: dict[tuple[str, str], int] = {}

    async def check(self, name: str) -> None:
        """Ask every flow of an expose, if its app serves.  Raises `NotFound`."""
        expose = await self._records.get(name)
        if standing(expose, await self._apps.current()).state.serves:
            await self._look(expose, expose.flows)

    async def run(self) -> None:
        """Ask the flows that did not answer again and again, until cancelled."""
        number = 0
        while True:
            await self._sleep(self._every_s)
            number += 1
            try:
                await self._round(number)
            except MeshError as error:
                log.warning("flows cannot be looked at", error=str(error))

    async def _round(self, number: int) -> None:
        dead: dict[tuple[str, str], int] = {}
        snapshot = await self._apps.current()
        for expose in await self._records.all():
            if not expose.enabled or not standing(expose, snapshot).state.serves:
                continue
            due = []
            for flow in (flow for flow in expose.flows if not flow.alive):
                misses = dead[expose.name, flow.path] = self._misses.get((expose.name, flow.path), 0)
                if number % min(misses + 1, _SLOWEST) == 0:
                    dead[expose.name, flow.path] = misses + 1
                    due.append(flow)
            if due:
                await self._look(expose, due)
        self._misses = dead

    async def _look(self, expose: Expose, flows: Iterable[FoundFlow]) -> None:
        await self._records.probed(expose.name, expose.booted_etag, await self._probes.all(expose.name, flows))
