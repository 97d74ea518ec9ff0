"""What happens in a boot, in the words of `agentmesh boot`: a line an app, and a line for what is in trouble."""

import http

from agentmesh.client import BootStep

_GOOD, _BAD, _WARNING, _QUIET = "green", "bold red", "yellow", "dim"


def line(step: BootStep) -> tuple[str, str] | None:
    """Return the line for what happened and its style; None if there is nothing to say."""
    match step.fact:
        case "app_settled":
            return _settled(step)
        case "expose_skipped" if step.details["reason"] == "draft":
            return f"- {step.expose}  no bootstrap yet", _QUIET
        case "expose_skipped":
            return f"✗ {step.expose}  {_one_line(step)}", _BAD
        case "expose_noted":
            return f"! {step.expose}  {_one_line(step)}", _WARNING
        case "app_preparing":
            return f"- {step.expose}  {_one_line(step)} …", _QUIET
        case "app_removed":
            return f"- {step.expose}  stopped", _QUIET
        case "app_remove_failed":
            return f"✗ {step.expose}  could not be stopped: {_one_line(step)}", _BAD
        case "flow_checked" if not step.details["alive"]:
            return f"! {step.expose}  {step.details['url']} does not answer: {_answer(step)}", _WARNING
        case "expose_gone":
            return f"! {step.expose}  deleted meanwhile; its app runs until the next boot", _WARNING
        case "boot_failed":
            about = f"{step.expose}  " if step.expose else ""
            return f"✗ {about}the {step.details['operation']} failed: {_one_line(step)}", _BAD
    return None


def is_failure(step: BootStep) -> bool:
    """Return whether an app is not what it was defined to be."""
    match step.fact:
        case "app_settled":
            return bool(step.details["state"] != "running")
        case "expose_skipped":
            return bool(step.details["reason"] != "draft")
    return step.fact == "app_remove_failed"


def _settled(step: BootStep) -> tuple[str, str]:
    state, count = step.details["state"], step.details["flow_count"]
    if state == "running":
        flows = "1 flow" if count == 1 else f"{count} flows"
        return f"✓ {step.expose}  {flows}  {step.details['load_time_s']:.1f} s", _GOOD
    if state == "outdated":
        message = f"the new version did not load: {_one_line(step)}; the one before still serves"
        return f"! {step.expose}  {message}", _WARNING
    return f"✗ {step.expose}  {_one_line(step)}", _BAD


def _one_line(step: BootStep) -> str:
    return " ".join(step.message.split())


def _answer(step: BootStep) -> str:
    status = step.details["http_status"]
    if not status:
        return str(step.details["error_reason"]).lower().replace("_", " ")
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
