"""The second half of a boot: which flows the apps have, whether they answer, and writing that down."""

import asyncio
import dataclasses
from collections.abc import Mapping

from services.registry.boot.probes import Probes
from services.registry.boot.records import Found, Records
from services.registry.boot.runs import Run
from services.registry.domain import exposes, facts
from services.registry.domain.exposes import FoundFlow, Probe
from services.registry.domain.facts import Counts, FlowChecked, Step


class Stock:
    """REGISTER, CHECK and RECORD for the apps that serve."""

    def __init__(self, records: Records, probes: Probes) -> None:
        self._records = records
        self._probes = probes

    async def take(self, run: Run, found: Mapping[str, Found]) -> None:
        """Name the flows of apps by expose, ask each whether it answers, and write down the answers."""
        count = sum(len(app.flows) for app in found.values())
        run.say(facts.StepStarted(step=Step.REGISTER, counts=Counts(flow_count=count)))
        for name, app in found.items():
            run.say(facts.FlowsFound(expose=name, paths=tuple(flow.path for flow in app.flows)))
        run.say(facts.StepEnded(step=Step.REGISTER, counts=Counts(flow_count=count)))
        await self._record(run, await self._check(run, found))

    async def _check(self, run: Run, found: Mapping[str, Found]) -> dict[str, Found]:
        """Ask every flow, a few at once; say what each answered in order."""
        probes: list[tuple[str, FoundFlow, asyncio.Task[Probe]]] = []
        run.say(facts.StepStarted(step=Step.CHECK, counts=_counts(found)))
        async with asyncio.TaskGroup() as group:
            for name, app in found.items():
                run.say(facts.FlowsProbed(expose=name, flow_count=len(app.flows)))
                probes.extend((name, flow, group.create_task(self._probes.ask(name, flow))) for flow in app.flows)
        checked: dict[str, list[FoundFlow]] = {name: [] for name in found}
        for name, flow, task in probes:
            probe = task.result()
            url = exposes.flow_url(name, flow.path)
            run.say(
                FlowChecked(
                    expose=name,
                    url=url,
                    alive=probe.alive,
                    http_status=probe.http_status,
                    error_reason=probe.error_reason,
                )
            )
            checked[name].append(dataclasses.replace(flow, alive=probe.alive, seen=probe.seen))
        apps = {name: dataclasses.replace(app, flows=tuple(checked[name])) for name, app in found.items()}
        run.say(facts.StepEnded(step=Step.CHECK, counts=_counts(apps)))
        return apps

    async def _record(self, run: Run, found: Mapping[str, Found]) -> None:
        """Write down the flows, and bring the operators' meta in line with them."""
        counts = _counts(found)
        run.say(facts.StepStarted(step=Step.RECORD, counts=counts))
        new_count = preserved_count = 0
        for name, app in found.items():
            merge = await self._records.booted(name, app)
            if merge is None:
                run.say(facts.ExposeGone(expose=name, flow_count=len(app.flows)))
                continue
            new_count += merge.new_count
            preserved_count += merge.preserved_count
            run.say(
                facts.MetaMerged(
                    expose=name,
                    flow_count=len(app.flows),
                    new_count=merge.new_count,
                    preserved_count=merge.preserved_count,
                )
            )
        counts = dataclasses.replace(counts, new_count=new_count, preserved_count=preserved_count)
        run.say(facts.StepEnded(step=Step.RECORD, counts=counts))


def _counts(found: Mapping[str, Found]) -> Counts:
    flows = [flow for app in found.values() for flow in app.flows]
    return Counts(flow_count=len(flows), alive_count=sum(flow.alive for flow in flows))
