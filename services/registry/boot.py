"""What a boot, a refresh and a shutdown do, and say.

The wording and order are those of the kodosumi panel (spec/kodosumi.md §6.2, "Boot sequence [C]"), which clients read
line by line; what a line claims has been done by us, whatever it is called there.  Steps: DEPLOY prepares, HEALTH loads
the apps, REGISTER names their flows, RETRIEVE asks each flow whether it answers, UPDATE writes down what was found.
"""

import asyncio
import dataclasses
import datetime
import http
from collections.abc import Callable, Mapping, Sequence

from meshkit.errors import Invalid, MeshError, NotFound
from services.registry import documents, domain
from services.registry.apps import Apps, DeployFailed
from services.registry.documents import Plan
from services.registry.domain import Expose, FoundFlow
from services.registry.runs import Kind, Run, Runs
from services.registry.store import ExposeStore

_BUSY = "Boot already in progress. Use force=true to override."
_BUSY_REFRESH = "Boot already in progress. Refresh again when it has ended."
_PROBES_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a boot waits, and how much it does at once."""

    deploy_timeout_s: float = 1800.0
    deploys_at_once: int = 4
    probe_timeout_s: float = 10.0


class Voice:
    """Speaks in a run.  Inside a refresh every message has a prefix, and the end of the boot is not the last word."""

    def __init__(self, run: Run, prefix: str = "") -> None:
        self.run = run
        self._prefix = prefix

    def inside(self, prefix: str) -> "Voice":
        """Return a voice for a boot within this run."""
        return Voice(self.run, prefix)

    def step(self, step: str, message: str) -> None:
        """A step begins."""
        self.run.say(Kind.STEP_START, self._prefix + message, step=step)

    def step_end(self, message: str) -> None:
        """The step is done."""
        self.run.say(Kind.STEP_END, self._prefix + message)

    def activity(self, target: str, message: str, result: str = "") -> None:
        """Something is being done to `target`."""
        self.run.say(Kind.ACTIVITY, self._prefix + message, target=target, result=result)

    def result(self, target: str, message: str, result: str = "") -> None:
        """Something came of it."""
        self.run.say(Kind.RESULT, self._prefix + message, target=target, result=result)

    def info(self, message: str) -> None:
        """For the reader."""
        self.run.say(Kind.INFO, self._prefix + message)

    def warning(self, target: str, message: str) -> None:
        """One expose is in trouble."""
        self.run.say(Kind.WARNING, self._prefix + message, target=target)

    def complete(self, message: str) -> None:
        """The whole is done."""
        if self._prefix:
            self.step_end(message)
        else:
            self.run.complete(message)


class Booter:
    """Starts and stops apps, so that what runs is what is defined."""

    def __init__(
        self,
        store: ExposeStore,
        apps: Apps,
        runs: Runs,
        now: Callable[[], datetime.datetime],
        limits: Limits,
    ) -> None:
        self._store = store
        self._apps = apps
        self._runs = runs
        self._now = now
        self._limits = limits

    async def start_boot(self, *, force: bool) -> Run:
        """Boot in the background.  Raises `FailedPrecondition` while another runs, unless `force` cancels it."""
        return await self._runs.start("Boot", self._boot, force=force, busy=_BUSY)

    async def start_stop(self) -> Run:
        """Stop every app in the background; a boot that runs is cancelled first, or it would start them again."""
        return await self._runs.start("Shutdown", self._stop, force=True, busy="")

    async def start_refresh(self, name: str) -> Run:
        """Restart one app in the background.  Raises `NotFound`, or `FailedPrecondition` while a boot runs."""
        await self._store.get(name)

        async def work(run: Run) -> None:
            await self._refresh(run, name)

        return await self._runs.start("Refresh", work, force=False, busy=_BUSY_REFRESH)

    async def _boot(self, run: Run) -> None:
        await self._boot_all(Voice(run), await self._store.select(), keep_others=False)

    async def _boot_all(self, voice: Voice, exposes: Sequence[Expose], *, keep_others: bool) -> dict[str, str]:
        """Place `exposes`; unless `keep_others`, remove every other app.  Return why some failed, by name."""
        started = voice.run.runtime_from_now()
        voice.info(f"Boot started at {voice.run.clock()}")
        placed = (await self._apps.fetch(patient=True)).apps
        plans, failures = self._prepare(voice, exposes)
        scope = {expose.name for expose in exposes} if keep_others else set(placed)
        doomed = sorted(set(placed) & scope - set(plans))
        if plans:
            await self._remove(voice, doomed)
            await self._settle_unplaced(exposes, plans, failures)
            voice.activity("<tmp>/serve_deploy.yaml", "Created merged deployment config")
            voice.activity("serve", f"Running serve deploy ({len(plans)} applications)")
            voice.result("", "serve deploy command", "success")
            voice.step_end(f"Deployment initiated ({len(plans)} applications)")
            found = await self._deploy(voice, plans, failures)
            await self._take_stock(voice, {expose.name: expose for expose in exposes}, found)
        else:
            voice.warning("", "No applications to deploy")
            voice.step_end("Deployment skipped (no applications)")
            voice.info("No applications deployed, running cleanup shutdown")
            left = await self._remove(voice, doomed)
            voice.result("", "Cleanup shutdown", f"{left} application(s) still run" if left else "success")
            await self._settle_unplaced(exposes, plans, failures)
        voice.complete(f"Boot completed at {voice.run.clock()} (runtime: {started()})")
        return failures

    def _prepare(self, voice: Voice, exposes: Sequence[Expose]) -> tuple[dict[str, Plan], dict[str, str]]:
        """DEPLOY, first half: read the bootstraps of enabled exposes.  Return plans, and failures, by name."""
        plans: dict[str, Plan] = {}
        failures: dict[str, str] = {}
        voice.step("DEPLOY", "Starting Ray Serve deployment")
        voice.activity("serve_config.yaml", "Loading global configuration", "OK")
        for expose in exposes:
            if not expose.enabled:
                continue
            if expose.is_draft:
                voice.warning(expose.name, "No bootstrap yet: skipped")
                continue
            try:
                plans[expose.name] = documents.plan(expose.bootstrap)
            except Invalid as error:
                failures[expose.name] = str(error)
                voice.warning(expose.name, str(error))
            else:
                voice.activity(expose.name, "Prepared deployment config", f"route=/{expose.name}")
        return plans, failures

    async def _remove(self, voice: Voice, names: Sequence[str], *, tell: bool = True) -> int:
        """Stop apps; return how many could not be stopped.  `tell` says of each that it was."""
        left = 0
        for name in names:
            try:
                await self._apps.remove(name)
            except MeshError as error:
                left += 1
                voice.warning(name, f"Could not be stopped: {error}")
            else:
                if tell:
                    voice.activity(name, "Removed application", "stopped")
        return left

    async def _settle_unplaced(
        self, exposes: Sequence[Expose], plans: Mapping[str, Plan], failures: Mapping[str, str]
    ) -> None:
        """Write down which exposes do not run, and why."""
        for expose in exposes:
            if expose.name not in plans:
                await self._set_stopped(expose.name, failures.get(expose.name, ""))

    async def _set_stopped(self, name: str, failure: str = "") -> None:
        await self._change(name, lambda expose: domain.stopped(expose, self._now(), failure))

    async def _change(self, name: str, change: Callable[[Expose], Expose]) -> None:
        try:
            await self._store.change(name, change)
        except NotFound:  # deleted while we were at it: the next boot removes its app
            return

    async def _deploy(
        self, voice: Voice, plans: Mapping[str, Plan], failures: dict[str, str]
    ) -> dict[str, list[FoundFlow]]:
        """HEALTH: load the apps, a few at once.  Return the flows of those that run; note why others do not."""
        found: dict[str, list[FoundFlow]] = {}
        slots = asyncio.Semaphore(self._limits.deploys_at_once)
        timeout_s = self._limits.deploy_timeout_s
        voice.step("HEALTH", f"Waiting for deployments to complete (timeout: {timeout_s:.0f}s)")

        async def deploy(name: str, plan: Plan) -> None:
            async with slots:
                voice.activity(name, "Status: DEPLOYING")
                try:
                    found[name] = await self._apps.deploy(name, plan, timeout_s)
                except DeployFailed as error:
                    failures[name] = str(error)
                    await self._set_stopped(name, str(error))
                    voice.result(name, "Reached final state", domain.State.DEPLOY_FAILED.name)
                    voice.warning(name, str(error))
                else:
                    voice.result(name, "Reached final state", domain.State.RUNNING.name)

        async with asyncio.TaskGroup() as group:
            for name, plan in plans.items():
                group.create_task(deploy(name, plan), name=f"deploy-{name}")
        voice.step_end(f"All deployments complete ({len(found)} running, {len(plans) - len(found)} failed)")
        return dict(sorted(found.items()))

    async def _take_stock(
        self, voice: Voice, exposes: Mapping[str, Expose], found: Mapping[str, list[FoundFlow]]
    ) -> None:
        """REGISTER, RETRIEVE and UPDATE for the apps that run."""
        if not found:
            voice.warning("", "No applications running, skipping remaining steps")
            return
        self._register(voice, found)
        checked = await self._retrieve(voice, found)
        await self._update(voice, exposes, checked)

    def _register(self, voice: Voice, found: Mapping[str, list[FoundFlow]]) -> None:
        count = sum(len(flows) for flows in found.values())
        voice.step("REGISTER", "Registering flow endpoints")
        voice.activity("", "POST /flow/register", "/-/routes")
        voice.result("", f"Registered {count} flow(s) via /-/routes")
        for name, flows in found.items():
            last_segments = [flow.path.strip("/").rpartition("/")[2] for flow in flows]
            names = ", ".join(segment for segment in last_segments if segment)
            voice.activity(name, f"Discovered {len(flows)} flow endpoint(s)", names)
        voice.step_end(f"Flow registration complete ({count} registered, {count} discovered)")

    async def _retrieve(self, voice: Voice, found: Mapping[str, list[FoundFlow]]) -> dict[str, list[FoundFlow]]:
        """Ask every flow, a few at once; say what each answered in order."""
        voice.step("RETRIEVE", "Testing flow endpoints")
        slots = asyncio.Semaphore(_PROBES_AT_ONCE)

        async def probe(name: str, flow: FoundFlow) -> tuple[FoundFlow, str]:
            async with slots:
                alive, answer = await self._probe(name, flow)
            return dataclasses.replace(flow, alive=alive), answer

        probes: list[tuple[str, asyncio.Task[tuple[FoundFlow, str]]]] = []
        async with asyncio.TaskGroup() as group:
            for name, flows in found.items():
                voice.activity(name, f"Checking {len(flows)} endpoint(s)")
                probes.extend((name, group.create_task(probe(name, flow))) for flow in flows)
        checked: dict[str, list[FoundFlow]] = {name: [] for name in found}
        for name, task in probes:
            flow, answer = task.result()
            checked[name].append(flow)
            state = domain.ALIVE if flow.alive else domain.DEAD
            voice.result(name, f"HEAD {domain.flow_url(name, flow.path)}", f"{answer} ({state})")
        count, alive_count = len(probes), sum(flow.alive for flows in checked.values() for flow in flows)
        voice.step_end(f"Retrieved {count} flow endpoints ({alive_count} alive, {count - alive_count} dead)")
        return checked

    async def _probe(self, name: str, flow: FoundFlow) -> tuple[bool, str]:
        """Return whether a flow answers, and what.  404 and 5xx are dead, anything else answers (§6.1)."""
        try:
            status = await self._apps.probe(name, flow, self._limits.probe_timeout_s)
        except MeshError as error:
            return False, error.reason.lower().replace("_", " ")
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        return status != 404 and status < 500, f"{status} {phrase}".strip()

    async def _update(
        self, voice: Voice, exposes: Mapping[str, Expose], checked: Mapping[str, list[FoundFlow]]
    ) -> None:
        """Write down the flows, and bring the operators' meta in line with them."""
        voice.step("UPDATE", "Updating expose metadata")
        voice.activity("GET /flow", "Fetching registered flows")
        voice.result("", "Retrieved flows", f"{sum(len(flows) for flows in checked.values())} flows")
        new_count = preserved_count = 0
        for name, flows in checked.items():
            voice.activity(name, f"Processing {len(flows)} flow(s)")
            merge = await self._merge(name, exposes[name].etag, flows)
            if merge is None:
                voice.warning(name, "Deleted during the boot: its app runs until the next one")
                continue
            new_count += merge.new_count
            preserved_count += merge.preserved_count
            voice.result(name, "Updated meta", f"{merge.new_count} new, {merge.preserved_count} preserved")
        alive_count = sum(flow.alive for flows in checked.values() for flow in flows)
        voice.step_end(f"Metadata update complete ({new_count} new, {preserved_count} preserved, {alive_count} alive)")

    async def _merge(self, name: str, etag: str, flows: Sequence[FoundFlow]) -> domain.Merge | None:
        merge: domain.Merge | None = None

        def change(expose: Expose) -> Expose:
            nonlocal merge
            merge = domain.merge_meta(expose, flows, documents.template, self._now())
            return domain.booted(expose, etag=etag, flows=flows, meta=merge.meta)

        await self._change(name, change)
        return merge

    async def _stop(self, run: Run) -> None:
        voice = Voice(run)
        voice.step("DEPLOY", "Shutting down Ray Serve")
        voice.activity("serve", "Running serve shutdown -y")
        placed = (await self._apps.fetch(patient=True)).apps
        left = await self._remove(voice, sorted(placed), tell=False)  # the seed's shutdown names states only
        voice.result("", "serve shutdown", f"{left} application(s) still run" if left else "success")
        voice.step("UPDATE", "Updating expose states")
        running = (await self._apps.fetch()).apps
        remaining = 0
        for expose in await self._store.select():
            if expose.name in running:
                remaining += len(expose.flows)
                continue
            await self._set_stopped(expose.name)
            if expose.name in placed:
                voice.activity(expose.name, "Set state to DEAD")
        voice.activity("Clearing flow registry", "PUT /flow/register")
        voice.result("", "Flow registry refreshed", f"{remaining} flows remaining")
        if left:
            run.fail(f"{left} application(s) could not be stopped: try again")
        else:
            voice.complete("Shutdown complete")

    async def _refresh(self, run: Run, name: str) -> None:
        """Restart one app.

        Its flows are withdrawn first; the host is then replaced by the new one, which lets jobs of the old app run to
        their end.  `enabled` is never written, so a refresh that breaks off cannot leave the expose disabled.
        """
        voice = Voice(run)
        enabled = (await self._store.get(name)).enabled
        voice.info(f"Refreshing expose '{name}' at {run.clock()}")
        voice.step("UPDATE", f"Step 1/4: Disabling expose '{name}'")
        voice.result(name, "Expose disabled", "enabled=False")
        voice.step("DEPLOY", "Step 2/4: Running boot process (remove flows)")
        await self._withdraw(voice.inside("[Boot 1/2] "), name, keep_app=enabled)
        voice.step("UPDATE", f"Step 3/4: Enabling expose '{name}'")
        voice.result(name, "Expose enabled" if enabled else "Expose stays disabled", f"enabled={enabled}")
        voice.step("DEPLOY", "Step 4/4: Running boot process (re-add flows)")
        expose = await self._store.get(name)
        failures = await self._boot_all(voice.inside("[Boot 2/2] "), [expose], keep_others=True)
        if name in failures:
            run.fail(f"[{name}] {failures[name]}")
        else:
            voice.complete(f"Refresh complete at {run.clock()} (runtime: {run.runtime()})")

    async def _withdraw(self, voice: Voice, name: str, *, keep_app: bool) -> None:
        started = voice.run.runtime_from_now()
        voice.info(f"Boot started at {voice.run.clock()}")
        voice.step("DEPLOY", "Starting Ray Serve deployment")
        voice.activity("serve_config.yaml", "Loading global configuration", "OK")
        if not keep_app and name in (await self._apps.fetch(patient=True)).apps:
            await self._remove(voice, [name])
        await self._set_stopped(name)
        voice.activity(name, "Removed flows")
        voice.step_end("Deployment skipped (no applications)")
        voice.complete(f"Boot completed at {voice.run.clock()} (runtime: {started()})")
