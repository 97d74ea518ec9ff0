"""The first half of a boot: which apps shall run, stopping the others, and loading them."""

import asyncio
import dataclasses
import datetime
import time
from collections.abc import Iterable, Mapping, Sequence

from meshkit.errors import FailedPrecondition, Invalid, MeshError
from meshkit.tasks import background
from services.registry import documents
from services.registry.boot.records import Found, Records
from services.registry.boot.runs import Run
from services.registry.bootstraps import Bootstraps
from services.registry.domain import facts
from services.registry.domain.deploying import DeployFailed, Plan
from services.registry.domain.exposes import Expose
from services.registry.domain.facts import Counts, Step
from services.registry.domain.standings import State
from services.registry.standings import Standings


@dataclasses.dataclass(frozen=True, slots=True)
class Fleet:
    """The apps of a boot."""

    exposes: Mapping[str, Expose]
    """Every expose of the boot, by name."""
    plans: dict[str, Plan] = dataclasses.field(default_factory=dict)
    """What is to be loaded, by name."""
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    """Why what was saved last does not run, by name."""
    found: dict[str, Found] = dataclasses.field(default_factory=dict)
    """The apps that serve, by name."""

    @property
    def counts(self) -> Counts:
        """How many apps there are."""
        outdated = sum(name in self.failures for name in self.found)
        return Counts(
            app_count=len(self.plans),
            running_count=len(self.found) - outdated,
            outdated_count=outdated,
            failed_count=len(self.failures) - outdated,
        )


def prepare(run: Run, exposes: Iterable[Expose], bootstraps: Bootstraps, *, on_ray: bool) -> Fleet:
    """PREPARE: read the bootstraps of enabled exposes."""
    fleet = Fleet({expose.name: expose for expose in exposes})
    run.say(facts.StepStarted(step=Step.PREPARE))
    for name, expose in fleet.exposes.items():
        if not expose.enabled:
            continue
        if expose.is_draft:
            run.say(facts.ExposeSkipped(expose=name, reason=facts.Reason.DRAFT))
            continue
        try:
            fleet.plans[name] = documents.plan(bootstraps.opened(expose))
        except (Invalid, FailedPrecondition) as error:
            fleet.failures[name] = str(error)
            run.say(facts.ExposeSkipped(expose=name, reason=facts.Reason.INVALID, message=str(error)))
        else:
            run.say(facts.ExposePrepared(expose=name))
            if found := documents.notes(bootstraps.opened(expose), on_ray=on_ray):
                run.say(facts.ExposeNoted(expose=name, message="; ".join(found)))
    return fleet


async def remove(run: Run, apps: Standings, names: Sequence[str]) -> int:
    """Stop apps; return how many could not be stopped."""
    left = 0
    for name in names:
        try:
            await apps.remove(name)
        except MeshError as error:
            left += 1
            run.say(facts.AppRemoveFailed(expose=name, message=str(error)))
        else:
            run.say(facts.AppRemoved(expose=name))
    return left


class Loader:
    """LOAD: loads apps, a few at once, and notes what became of each."""

    def __init__(self, apps: Standings, records: Records, *, timeout_s: float, at_once: int) -> None:
        self._apps = apps
        self._records = records
        self._timeout_s = timeout_s
        self._at_once = at_once

    async def load(self, run: Run, fleet: Fleet) -> None:
        """Load what the fleet plans; fill in what it found, and what failed."""
        timeout = datetime.timedelta(seconds=self._timeout_s)
        run.say(facts.StepStarted(step=Step.LOAD, timeout=timeout, counts=Counts(app_count=len(fleet.plans))))
        slots = asyncio.Semaphore(self._at_once)
        async with asyncio.TaskGroup() as group:
            for name in fleet.plans:
                group.create_task(self._load(run, fleet, name, slots), name=f"deploy-{name}")
        counts = fleet.counts
        failed = len(fleet.plans) - len(fleet.found)  # of what was loaded; others had no plan
        run.say(facts.StepEnded(step=Step.LOAD, counts=dataclasses.replace(counts, failed_count=failed)))

    async def _tell(self, run: Run, name: str) -> None:
        async for activity in self._apps.activities(name):
            run.say(facts.AppPreparing(expose=name, message=activity))

    async def _load(self, run: Run, fleet: Fleet, name: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            run.say(facts.AppDeploying(expose=name))
            started = time.monotonic()
            state, message, count = State.RUNNING, "", 0
            try:
                async with background(self._tell(run, name), f"activity-{name}"):
                    deployed = await self._apps.deploy(name, fleet.plans[name], self._timeout_s)
            except DeployFailed as error:
                state, message = State.DEPLOY_FAILED, str(error)
                fleet.failures[name] = message
                await self._records.stopped(name, message)
            else:
                expose, flows = fleet.exposes[name], deployed.flows
                if deployed.is_outdated:
                    state, message = State.OUTDATED, deployed.status.message
                    fleet.failures[name] = message
                    flows = flows or expose.flows
                count = len(flows)
                fleet.found[name] = Found(flows=flows, etag=None if deployed.is_outdated else expose.etag)
            load_time = datetime.timedelta(seconds=time.monotonic() - started)
            run.say(facts.AppSettled(expose=name, state=state, message=message, flow_count=count, load_time=load_time))
