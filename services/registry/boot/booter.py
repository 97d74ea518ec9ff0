"""What a boot, a refresh and a stop do.

A boot: PREPARE reads the bootstraps and stops what shall not run, LOAD loads the apps, REGISTER names their flows,
CHECK asks each flow whether it answers, RECORD writes down what was found.  A refresh does that for one expose.
What is said are facts (`services.registry.domain.facts`); dialects and the CLI put them into words.
"""

import dataclasses
import time
from collections.abc import Sequence
from datetime import timedelta

from services.registry.boot.loading import Fleet, Loader, prepare, remove
from services.registry.boot.probes import Probes
from services.registry.boot.records import Records
from services.registry.boot.runs import Run, Runs
from services.registry.boot.stock import Stock
from services.registry.bootstraps import Bootstraps
from services.registry.domain import facts
from services.registry.domain.exposes import Expose
from services.registry.domain.facts import Counts, Operation, Step
from services.registry.standings import Standings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a boot waits, and how much it does at once."""

    deploy_timeout_s: float = 1800.0
    deploys_at_once: int = 4
    probe_timeout_s: float = 10.0


class Booter:
    """Starts and stops apps, so that what runs is what is defined."""

    def __init__(
        self,
        apps: Standings,
        records: Records,
        runs: Runs,
        bootstraps: Bootstraps,
        limits: Limits,
        *,
        on_ray: bool = False,
    ) -> None:
        """`on_ray` says where hosts are placed: what a bootstrap says for Ray has no effect elsewhere."""
        self._on_ray = on_ray
        self._bootstraps = bootstraps
        self._apps = apps
        self._records = records
        self._runs = runs
        self._loader = Loader(apps, records, timeout_s=limits.deploy_timeout_s, at_once=limits.deploys_at_once)
        self._stock = Stock(records, Probes(apps, timeout_s=limits.probe_timeout_s))

    async def start_boot(self, *, force: bool) -> Run:
        """Boot in the background.  Raises `FailedPrecondition` while another runs, unless `force` cancels it."""
        return await self._runs.start(Operation.BOOT, self._boot, force=force)

    async def start_stop(self) -> Run:
        """Stop every app in the background; a boot that runs is cancelled first, or it would start them again."""
        return await self._runs.start(Operation.STOP, self._stop, force=True)

    async def start_refresh(self, name: str) -> Run:
        """Restart one app in the background.  Raises `NotFound`, or `FailedPrecondition` while a boot runs."""
        await self._records.get(name)

        async def work(run: Run) -> None:
            await self._refresh(run, name)

        return await self._runs.start(Operation.REFRESH, work, force=False)

    async def _boot(self, run: Run) -> None:
        _, completed = await self._place(run, await self._records.all(), keep_others=False)
        run.complete(completed)

    async def _place(
        self, run: Run, exposes: Sequence[Expose], *, keep_others: bool
    ) -> tuple[Fleet, facts.BootCompleted]:
        """Make the apps of `exposes` what is defined; unless `keep_others`, remove every other app."""
        started = time.monotonic()
        run.say(facts.BootStarted())
        placed = (await self._apps.fetch(patient=True)).apps
        fleet = prepare(run, exposes, self._bootstraps, on_ray=self._on_ray)
        scope = fleet.exposes.keys() if keep_others else placed.keys()
        doomed = sorted(placed.keys() & scope - fleet.plans.keys())
        prepared = facts.StepEnded(step=Step.PREPARE, counts=Counts(app_count=len(fleet.plans)))
        if fleet.plans:
            left = await remove(run, self._apps, doomed)
            await self._settle_unplaced(fleet)
            run.say(prepared)
            await self._loader.load(run, fleet)
            if fleet.found:
                await self._stock.take(run, dict(sorted(fleet.found.items())))
        else:
            run.say(prepared)
            left = await remove(run, self._apps, doomed)
            await self._settle_unplaced(fleet)
        counts = dataclasses.replace(fleet.counts, left_count=left)
        return fleet, facts.BootCompleted(runtime=_since(started), counts=counts)

    async def _settle_unplaced(self, fleet: Fleet) -> None:
        """Write down which exposes do not run, and why."""
        for name in fleet.exposes:
            if name not in fleet.plans:
                await self._records.stopped(name, fleet.failures.get(name, ""))

    async def _stop(self, run: Run) -> None:
        run.say(facts.StopStarted())
        run.say(facts.StepStarted(step=Step.REMOVE))
        placed = (await self._apps.fetch(patient=True)).apps
        left = await remove(run, self._apps, sorted(placed))
        run.say(facts.StepEnded(step=Step.REMOVE, counts=Counts(left_count=left)))
        run.say(facts.StepStarted(step=Step.RECORD))
        running = (await self._apps.fetch()).apps
        flow_count = 0
        for expose in await self._records.all():
            if expose.name in running:
                flow_count += len(expose.flows)
                continue
            await self._records.stopped(expose.name)
            if expose.name in placed:
                run.say(facts.ExposeStopped(expose=expose.name))
        run.say(facts.StepEnded(step=Step.RECORD, counts=Counts(flow_count=flow_count)))
        if left:
            run.fail(f"{left} application(s) could not be stopped: try again")
        else:
            run.complete(facts.StopCompleted(runtime=run.runtime()))

    async def _refresh(self, run: Run, name: str) -> None:
        """Restart one app.

        Its flows are withdrawn first; the host is then replaced by the new one, which lets jobs of the old app run to
        their end.  `enabled` is never written, so a refresh that breaks off cannot leave the expose disabled.
        """
        enabled = (await self._records.get(name)).enabled
        run.say(facts.RefreshStarted(expose=name, enabled=enabled))
        await self._withdraw(run, name, enabled=enabled)
        fleet, completed = await self._place(run, [await self._records.get(name)], keep_others=True)
        run.say(completed)
        if name in fleet.failures:
            run.fail(fleet.failures[name], expose=name)
        else:
            run.complete(facts.RefreshCompleted(expose=name, runtime=run.runtime()))

    async def _withdraw(self, run: Run, name: str, *, enabled: bool) -> None:
        started = time.monotonic()
        if not enabled and name in (await self._apps.fetch(patient=True)).apps:
            await remove(run, self._apps, [name])
        await self._records.stopped(name)
        run.say(facts.FlowsWithdrawn(expose=name, enabled=enabled, runtime=_since(started)))


def _since(started: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - started)
