"""The words of the kodosumi panel for what happens in a boot (seed: notebook, "Boot Ray Serve", "Refresh", "shutdown").

Clients read the panel's lines one by one, so wording, order and glyphs are those of the seed; what a line claims has
been done by the mesh, whatever it is called there: "serve deploy" stands for the apps that are about to be loaded, a
"HEAD" for the question whether a flow answers.  Each kind of line has its glyph: ▶ a step begins, ✓ it ended, • an
activity, ⚠ trouble, ℹ information, ✔ and ✗ the last line.
"""

import http
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from meshkit.clock import moment_of

_STEPS: dict[int, str] = {
    pb.BOOT_STEP_PREPARE: "DEPLOY",
    pb.BOOT_STEP_LOAD: "HEALTH",
    pb.BOOT_STEP_REGISTER: "REGISTER",
    pb.BOOT_STEP_CHECK: "RETRIEVE",
    pb.BOOT_STEP_RECORD: "UPDATE",
    pb.BOOT_STEP_REMOVE: "DEPLOY",
}
_OPERATIONS: dict[int, str] = {
    pb.BOOT_OPERATION_BOOT: "Boot",
    pb.BOOT_OPERATION_REFRESH: "Refresh",
    pb.BOOT_OPERATION_STOP: "Shutdown",
}
_STATES: dict[int, str] = {
    pb.EXPOSE_STATE_RUNNING: "RUNNING",
    pb.EXPOSE_STATE_DEPLOY_FAILED: "DEPLOY_FAILED",
    pb.EXPOSE_STATE_OUTDATED: "DEPLOY_FAILED",
}


def lines_of(events: Iterable[pb.BootEvent]) -> list[str]:
    """Return the lines of a boot, from its first event on."""
    words = Words()
    return [line for event in events for line in words.lines(event)]


class Words:
    """Puts one boot into words; it must be shown every event, from the first on."""

    def __init__(self) -> None:
        self._prefix = ""
        """Before each message of the two boots that the panel makes of a refresh."""
        self._stopping = False
        self._say: dict[str, Callable[[Any, pb.BootEvent], Iterator[str]]] = {
            "boot_started": self._boot_started,
            "boot_completed": self._boot_completed,
            "refresh_started": self._refresh_started,
            "refresh_completed": self._refresh_completed,
            "stop_started": self._stop_started,
            "stop_completed": self._stop_completed,
            "boot_failed": self._boot_failed,
            "step_started": self._step_started,
            "step_ended": self._step_ended,
            "expose_prepared": self._expose_prepared,
            "expose_skipped": self._expose_skipped,
            "expose_noted": self._expose_noted,
            "app_preparing": self._app_preparing,
            "app_removed": self._app_removed,
            "app_remove_failed": self._app_remove_failed,
            "app_deploying": self._app_deploying,
            "app_settled": self._app_settled,
            "flows_found": self._flows_found,
            "flows_probed": self._flows_probed,
            "flow_checked": self._flow_checked,
            "meta_merged": self._meta_merged,
            "expose_gone": self._expose_gone,
            "flows_withdrawn": self._flows_withdrawn,
            "expose_stopped": self._expose_stopped,
        }

    def lines(self, event: pb.BootEvent) -> Iterator[str]:
        """Yield the lines for an event; none for a fact that the panel has no words for."""
        field = event.WhichOneof("fact")
        if field in self._say:
            yield from self._say[field](getattr(event, field), event)

    # -- from the first event to the last --

    def _boot_started(self, fact: pb.BootStarted, event: pb.BootEvent) -> Iterator[str]:
        yield f"ℹ {self._prefix}Boot started at {_clock(event.time)}"

    def _boot_completed(self, fact: pb.BootCompleted, event: pb.BootEvent) -> Iterator[str]:
        if not fact.counts.app_count:
            yield self._result("", "Cleanup shutdown", _left(fact.counts))
        glyph = "✔" if event.kind == pb.BootEvent.KIND_COMPLETE else "✓"
        yield f"{glyph} {self._prefix}Boot completed at {_clock(event.time)} (runtime: {_seconds(fact.runtime)})"
        self._prefix = ""

    def _refresh_started(self, fact: pb.RefreshStarted, event: pb.BootEvent) -> Iterator[str]:
        name = _id(fact.expose)
        yield f"ℹ Refreshing expose '{name}' at {_clock(event.time)}"
        yield f"▶ [UPDATE] Step 1/4: Disabling expose '{name}'"
        yield self._result(name, "Expose disabled", "enabled=False")
        yield "▶ [DEPLOY] Step 2/4: Running boot process (remove flows)"
        self._prefix = "[Boot 1/2] "
        yield f"ℹ {self._prefix}Boot started at {_clock(event.time)}"
        yield from self._deploy_started()

    def _flows_withdrawn(self, fact: pb.FlowsWithdrawn, event: pb.BootEvent) -> Iterator[str]:
        name = _id(fact.expose)
        yield self._activity(name, "Removed flows")
        yield f"✓ {self._prefix}Deployment skipped (no applications)"
        yield f"✓ {self._prefix}Boot completed at {_clock(event.time)} (runtime: {_seconds(fact.runtime)})"
        self._prefix = ""
        yield f"▶ [UPDATE] Step 3/4: Enabling expose '{name}'"
        yield self._result(
            name, "Expose enabled" if fact.enabled else "Expose stays disabled", f"enabled={fact.enabled}"
        )
        yield "▶ [DEPLOY] Step 4/4: Running boot process (re-add flows)"
        self._prefix = "[Boot 2/2] "

    def _refresh_completed(self, fact: pb.RefreshCompleted, event: pb.BootEvent) -> Iterator[str]:
        yield f"✔ Refresh complete at {_clock(event.time)} (runtime: {_seconds(fact.runtime)})"

    def _stop_started(self, fact: pb.StopStarted, event: pb.BootEvent) -> Iterator[str]:
        self._stopping = True
        yield from ()

    def _stop_completed(self, fact: pb.StopCompleted, event: pb.BootEvent) -> Iterator[str]:
        yield "✔ Shutdown complete"

    def _boot_failed(self, fact: pb.BootFailed, event: pb.BootEvent) -> Iterator[str]:
        operation = _OPERATIONS.get(fact.operation, "Boot")
        about = f"[{_id(fact.expose)}] " if fact.expose else ""
        when = f"{_clock(event.time)} (runtime: {_seconds(fact.runtime)})"
        yield f"✗ {operation} failed at {when}: {about}{_line(fact.message)}"

    # -- steps --

    def _step_started(self, fact: pb.StepStarted, event: pb.BootEvent) -> Iterator[str]:
        if fact.step == pb.BOOT_STEP_PREPARE:
            yield from self._deploy_started()
        elif fact.step == pb.BOOT_STEP_LOAD:
            timeout = fact.timeout.ToTimedelta().total_seconds()
            yield self._begin(fact.step, f"Waiting for deployments to complete (timeout: {timeout:.0f}s)")
        elif fact.step == pb.BOOT_STEP_REGISTER:
            yield self._begin(fact.step, "Registering flow endpoints")
            yield self._activity("", "POST /flow/register", "/-/routes")
            yield self._result("", f"Registered {fact.counts.flow_count} flow(s) via /-/routes")
        elif fact.step == pb.BOOT_STEP_CHECK:
            yield self._begin(fact.step, "Testing flow endpoints")
        elif fact.step == pb.BOOT_STEP_REMOVE:
            yield self._begin(fact.step, "Shutting down Ray Serve")
            yield self._activity("serve", "Running serve shutdown -y")
        elif self._stopping:
            yield self._begin(fact.step, "Updating expose states")
        else:
            yield self._begin(fact.step, "Updating expose metadata")
            yield self._activity("GET /flow", "Fetching registered flows")
            yield self._result("", "Retrieved flows", f"{fact.counts.flow_count} flows")

    def _deploy_started(self) -> Iterator[str]:
        yield self._begin(pb.BOOT_STEP_PREPARE, "Starting Ray Serve deployment")
        yield self._activity("serve_config.yaml", "Loading global configuration", "OK")

    def _step_ended(self, fact: pb.StepEnded, event: pb.BootEvent) -> Iterator[str]:
        counts = fact.counts
        if fact.step == pb.BOOT_STEP_PREPARE:
            yield from self._deploy_ended(counts.app_count)
        elif fact.step == pb.BOOT_STEP_LOAD:
            failed = counts.failed_count + counts.outdated_count
            yield self._end(f"All deployments complete ({counts.running_count} running, {failed} failed)")
            if not counts.running_count + counts.outdated_count:
                yield self._warning("", "No applications running, skipping remaining steps")
        elif fact.step == pb.BOOT_STEP_REGISTER:
            count = counts.flow_count
            yield self._end(f"Flow registration complete ({count} registered, {count} discovered)")
        elif fact.step == pb.BOOT_STEP_CHECK:
            dead = counts.flow_count - counts.alive_count
            yield self._end(f"Retrieved {counts.flow_count} flow endpoints ({counts.alive_count} alive, {dead} dead)")
        elif fact.step == pb.BOOT_STEP_REMOVE:
            yield self._result("", "serve shutdown", _left(counts))
        elif self._stopping:
            yield self._activity("Clearing flow registry", "PUT /flow/register")
            yield self._result("", "Flow registry refreshed", f"{counts.flow_count} flows remaining")
        else:
            told = f"{counts.new_count} new, {counts.preserved_count} preserved, {counts.alive_count} alive"
            yield self._end(f"Metadata update complete ({told})")

    def _deploy_ended(self, count: int) -> Iterator[str]:
        if count:
            yield self._activity("<tmp>/serve_deploy.yaml", "Created merged deployment config")
            yield self._activity("serve", f"Running serve deploy ({count} applications)")
            yield self._result("", "serve deploy command", "success")
            yield self._end(f"Deployment initiated ({count} applications)")
        else:
            yield self._warning("", "No applications to deploy")
            yield self._end("Deployment skipped (no applications)")
            yield f"ℹ {self._prefix}No applications deployed, running cleanup shutdown"

    # -- one expose --

    def _expose_prepared(self, fact: pb.ExposePrepared, event: pb.BootEvent) -> Iterator[str]:
        name = _id(fact.expose)
        yield self._activity(name, "Prepared deployment config", f"route=/{name}")

    def _expose_skipped(self, fact: pb.ExposeSkipped, event: pb.BootEvent) -> Iterator[str]:
        draft = fact.reason == pb.ExposeSkipped.REASON_DRAFT
        yield self._warning(_id(fact.expose), "No bootstrap yet: skipped" if draft else fact.message)

    def _expose_noted(self, fact: pb.ExposeNoted, event: pb.BootEvent) -> Iterator[str]:
        yield self._warning(_id(fact.expose), fact.message)

    def _app_preparing(self, fact: pb.AppPreparing, event: pb.BootEvent) -> Iterator[str]:
        yield self._activity(_id(fact.expose), _line(fact.message))

    def _app_removed(self, fact: pb.AppRemoved, event: pb.BootEvent) -> Iterator[str]:
        if not self._stopping:  # the seed's shutdown names states only
            yield self._activity(_id(fact.expose), "Removed application", "stopped")

    def _app_remove_failed(self, fact: pb.AppRemoveFailed, event: pb.BootEvent) -> Iterator[str]:
        yield self._warning(_id(fact.expose), f"Could not be stopped: {fact.message}")

    def _app_deploying(self, fact: pb.AppDeploying, event: pb.BootEvent) -> Iterator[str]:
        yield self._activity(_id(fact.expose), "Status: DEPLOYING")

    def _app_settled(self, fact: pb.AppSettled, event: pb.BootEvent) -> Iterator[str]:
        name = _id(fact.expose)
        yield self._result(name, "Reached final state", _STATES.get(fact.state, "UNHEALTHY"))
        if fact.state == pb.EXPOSE_STATE_OUTDATED:
            yield self._warning(name, f"{fact.message} (the version before still serves)")
        elif fact.state != pb.EXPOSE_STATE_RUNNING:
            yield self._warning(name, fact.message)

    def _flows_found(self, fact: pb.FlowsFound, event: pb.BootEvent) -> Iterator[str]:
        segments = [path.strip("/").rpartition("/")[2] for path in fact.paths]
        names = ", ".join(segment for segment in segments if segment)
        yield self._activity(_id(fact.expose), f"Discovered {len(fact.paths)} flow endpoint(s)", names)

    def _flows_probed(self, fact: pb.FlowsProbed, event: pb.BootEvent) -> Iterator[str]:
        yield self._activity(_id(fact.expose), f"Checking {fact.flow_count} endpoint(s)")

    def _flow_checked(self, fact: pb.FlowChecked, event: pb.BootEvent) -> Iterator[str]:
        answer = _phrase(fact.http_status) or fact.error_reason.lower().replace("_", " ")
        state = "alive" if fact.alive else "dead"
        yield self._result(_id(fact.expose), f"HEAD {fact.url}", f"{answer} ({state})")

    def _meta_merged(self, fact: pb.MetaMerged, event: pb.BootEvent) -> Iterator[str]:
        name = _id(fact.expose)
        yield self._activity(name, f"Processing {fact.flow_count} flow(s)")
        yield self._result(name, "Updated meta", f"{fact.new_count} new, {fact.preserved_count} preserved")

    def _expose_gone(self, fact: pb.ExposeGone, event: pb.BootEvent) -> Iterator[str]:
        name = _id(fact.expose)
        yield self._activity(name, f"Processing {fact.flow_count} flow(s)")
        yield self._warning(name, "Deleted during the boot: its app runs until the next one")

    def _expose_stopped(self, fact: pb.ExposeStopped, event: pb.BootEvent) -> Iterator[str]:
        yield self._activity(_id(fact.expose), "Set state to DEAD")

    # -- the shape of a line --

    def _begin(self, step: int, message: str) -> str:
        return f"▶ [{_STEPS.get(step, 'UPDATE')}] {self._prefix}{message}"

    def _end(self, message: str) -> str:
        return f"✓ {self._prefix}{message}"

    def _activity(self, target: str, message: str, result: str = "") -> str:
        return f"  • {_about(target)}{self._prefix}{message}{_came_to(result)}"

    def _result(self, target: str, message: str, result: str = "") -> str:
        return f"  {_about(target)}{self._prefix}{message}{_came_to(result)}"

    def _warning(self, target: str, message: str) -> str:
        return f"⚠ {_about(target)}{self._prefix}{_line(message)}"


def _about(target: str) -> str:
    return f"[{target}] " if target else ""


def _came_to(result: str) -> str:
    return f" → {result}" if result else ""


def _id(expose: str) -> str:
    return expose.removeprefix("exposes/")


def _line(text: str) -> str:
    return text.replace("\n", " ")


def _left(counts: pb.BootCounts) -> str:
    return f"{counts.left_count} application(s) still run" if counts.left_count else "success"


def _phrase(status: int) -> str:
    """Return `404 Not Found`, or the number alone if HTTP has no word for it; empty for 0."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status or "")


def _seconds(duration: Duration) -> str:
    return f"{duration.ToTimedelta().total_seconds():.1f}s"


def _clock(time: Timestamp) -> str:
    """Return a time as the seeds write it, in local time: `2025-12-10 08:02:44`."""
    return moment_of(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
