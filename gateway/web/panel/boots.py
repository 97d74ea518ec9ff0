"""What happens in a boot, in words for operators: one line an event."""

import datetime
import http
from typing import Any

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.web.panel import shown
from meshkit.clock import seconds_of

_LINES_MAX = 500
_TEXT_MAX = 2000
_STEPS: dict[int, str] = {
    pb.BOOT_STEP_PREPARE: "Read the bootstraps",
    pb.BOOT_STEP_LOAD: "Load the apps",
    pb.BOOT_STEP_REGISTER: "Name the flows",
    pb.BOOT_STEP_CHECK: "Ask each flow",
    pb.BOOT_STEP_RECORD: "Write down what was found",
    pb.BOOT_STEP_REMOVE: "Stop the apps",
}
_OPERATIONS: dict[int, str] = {
    pb.BOOT_OPERATION_BOOT: "The boot",
    pb.BOOT_OPERATION_REFRESH: "The restart",
    pb.BOOT_OPERATION_STOP: "The stop",
}
_GOOD, _BAD, _WARN, _STEP = "good", "bad", "warn", "status"


def lines_of(boot: pb.Boot, expose: str = "") -> list[dict[str, Any]]:
    """Return the last lines of a boot; with `expose`, an id, without those that concern another one."""
    lines = [line for event in boot.events if (line := _line(event)) and (not expose or line["app"] in ("", expose))]
    return lines[-_LINES_MAX:]


def _line(event: pb.BootEvent) -> dict[str, Any] | None:
    field = event.WhichOneof("fact")
    if field is None:  # of a newer registry
        return None
    fact = getattr(event, field)
    said = _said(field, fact)
    if said is None:
        return None
    kind, text = said
    app = str(getattr(fact, "expose", "")).removeprefix("exposes/")
    return {"at": shown.at(seconds_of(event.time)), "class": kind, "app": app, "text": text[:_TEXT_MAX]}


def _said(field: str, fact: Any) -> tuple[str, str] | None:
    """Return the class and the words of a fact; None if there is nothing to say."""
    match field:
        case "boot_started":
            return _STEP, "The boot begins"
        case "refresh_started":
            return _STEP, "The app is restarted" if fact.enabled else "The app is disabled: it is stopped"
        case "stop_started":
            return _STEP, "Every app is stopped"
        case "boot_completed":
            return _GOOD, f"The boot has ended after {_took(fact.runtime)}"
        case "refresh_completed":
            return _GOOD, f"The restart has ended after {_took(fact.runtime)}"
        case "stop_completed":
            return _GOOD, f"Every app has stopped after {_took(fact.runtime)}"
        case "boot_failed":
            return (
                _BAD,
                f"{_OPERATIONS.get(fact.operation, 'It')} has failed after {_took(fact.runtime)}: {fact.message}",
            )
        case "step_started":
            return _STEP, _STEPS.get(fact.step, "The next step")
        case "expose_skipped" if fact.reason == pb.ExposeSkipped.REASON_DRAFT:
            return "", "There is no bootstrap yet"
        case "expose_skipped":
            return _BAD, fact.message
        case "expose_noted":
            return _WARN, fact.message
        case "app_preparing":
            return "", f"{fact.message[:1].upper()}{fact.message[1:]}"
        case "app_removed":
            return "", "Stopped"
        case "app_remove_failed":
            return _BAD, f"Could not be stopped: {fact.message}"
        case "app_deploying":
            return "", "Is being loaded"
        case "app_settled":
            return _settled(fact)
        case "flows_found":
            return "", f"Offers {', '.join(fact.paths)}" if fact.paths else "Offers no flow"
        case "flow_checked":
            answer = _answer(fact)
            return (
                (_GOOD, f"{fact.url} answers {answer}")
                if fact.alive
                else (_WARN, f"{fact.url} does not answer: {answer}")
            )
        case "expose_gone":
            return _WARN, "Was deleted meanwhile; its app runs until the next boot"
    return None


def _settled(fact: pb.AppSettled) -> tuple[str, str]:
    if fact.state == pb.EXPOSE_STATE_RUNNING:
        return _GOOD, f"Serves {counted(fact.flow_count, 'flow')}, loaded in {_took(fact.load_time)}"
    if fact.state == pb.EXPOSE_STATE_OUTDATED:
        return _WARN, f"The new version did not load, the one before still serves: {fact.message}"
    return _BAD, f"Could not be loaded: {fact.message}"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 flow`, `2 flows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def began(boot: pb.Boot) -> Timestamp | None:
    """Return when a boot began, or None if there was none."""
    return boot.start_time if boot.HasField("start_time") else None


def _took(runtime: Any) -> str:
    took: datetime.timedelta = runtime.ToTimedelta()
    return shown.duration(took.total_seconds())


def _answer(fact: pb.FlowChecked) -> str:
    if not fact.http_status:
        return fact.error_reason.lower().replace("_", " ")
    return answered(str(fact.http_status))


def answered(seen: str) -> str:
    """Return in words what a flow answered when it was asked last (`FlowMeta.seen`)."""
    if not seen.isdecimal():
        return seen.lower().replace("_", " ")
    try:
        return f"{seen} {http.HTTPStatus(int(seen)).phrase}"
    except ValueError:
        return seen
