"""An app's answers in the protocol's words: to an HTTP request, to inputs for a form, to a lock's answer.

A form handler is written against HTTP (it may take a `Request`), so an Ask runs through the app's ASGI interface; what
comes back is decoded here, and no body of an app's reaches the runner.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentmesh_protos.runner.v1 import app_pb2, host_pb2

from agentmesh import locks
from agentmesh._app.loading import LoadedApp
from agentmesh._values.serialize import to_json
from agentmesh.errors import GLOBAL
from agentmesh.host.app import asgi, connections
from agentmesh.launch import LAUNCH_HEADER, LaunchSpec, launches

_DETAIL_CHARS_MAX = 2_000
_FORM_HEADERS = (
    app_pb2.Header(name="content-type", value="application/json"),
    app_pb2.Header(name="accept", value="application/json, text/html;q=0.5"),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An app that has started up."""

    app: LoadedApp
    expose: str
    state: dict[str, Any] | None = None
    """What its start-up has left for requests."""


def _scope(served: Served, call: host_pb2.Call) -> dict[str, Any]:
    asker = asgi.Asker(user=call.user, base_url=call.base_url, expose=served.expose, client=call.client)
    return asgi.scope(asker, call.method, call.path, call.query, call.headers, served.state)


async def call(served: Served, call: host_pb2.Call) -> host_pb2.CallResult:
    """Pass an HTTP request through.  Raises what the app raises."""
    noted = noting()
    response = await asgi.request(served.app.asgi, _scope(served, call), call.body)
    return host_pb2.CallResult(
        call_id=call.call_id,
        status=response.status,
        headers=[app_pb2.Header(name=name, value=value) for name, value in response.headers],
        body=response.body,
        launches=[_to_pb(spec) for spec in noted] if response.status < 400 else [],
    )


def connect(served: Served, call: host_pb2.Call, put: connections.Put) -> connections.Connection:
    """Connect who calls with the app; `put` gets what it says."""
    scope = _scope(served, call)
    return connections.Socket(asgi.socket_scope(scope), put) if call.socket else connections.Http(scope, call.body, put)


def taken(noted: list[LaunchSpec]) -> list[host_pb2.Launch]:
    """Take the launches out of what was noted."""
    found = [_to_pb(spec) for spec in noted]
    noted.clear()
    return found


async def ask(served: Served, ask: host_pb2.Ask) -> host_pb2.AskResult:
    """Have a flow's form handler check inputs.  Raises what the app raises."""
    asker = asgi.Asker(user=ask.user, base_url=ask.base_url, expose=served.expose, extra_json=ask.extra_json)
    noted = noting()
    scope = asgi.scope(asker, "POST", ask.path, headers=_FORM_HEADERS, state=served.state)
    response = await asgi.request(served.app.asgi, scope, ask.inputs_json.encode() or b"{}")
    said = _object(response.body)
    result = host_pb2.AskResult(ask_id=ask.ask_id)
    if noted and response.status < 400:
        returned = dict(response.headers).get(LAUNCH_HEADER) or said.get("result")
        result.launches.extend(_to_pb(spec) for spec in sorted(noted, key=lambda spec: spec.job_id != returned))
    elif errors := _field_errors(said.get("errors") or _refusals(response.status, said)):
        result.errors.extend(errors)
    else:
        result.status = response.status
        result.detail = _detail(said, response)
    return result


async def check_lock(served: Served, check: host_pb2.CheckLock) -> host_pb2.LockCheck:
    """Have the app parse, check and lease a lock's answer."""
    from starlette.requests import Request  # not before a handler needs it

    asker = asgi.Asker(user=check.user, base_url=check.base_url, expose=served.expose)
    _, job_id, _, lock_id = check.lock.split("/")
    scope = asgi.scope(asker, "POST", f"/jobs/{job_id}/locks/{lock_id}")
    state = {"user": check.user.removeprefix("users/"), "prefix": f"{check.base_url}/-/{served.expose}"}
    request = Request({**scope, "state": state})
    inputs, data = json.loads(check.inputs_json or "{}"), json.loads(check.data_json or "{}")
    checked = await locks.check(served.app.asgi, check.title, inputs, data, request)
    result = host_pb2.LockCheck(check_id=check.check_id, detail=checked.detail, failed=checked.failed)
    result.errors.extend(_field_errors(checked.errors))
    if not checked.detail and not result.errors:
        result.result_json = to_json(checked.result)
    return result


def noting() -> list[LaunchSpec]:
    """Return the list that launches of this task go to from now on; each task has its own context."""
    noted: list[LaunchSpec] = []
    launches.set(noted)
    return noted


def _to_pb(spec: LaunchSpec) -> host_pb2.Launch:
    return host_pb2.Launch(
        job_id=spec.job_id,
        path=spec.path,
        entry_point=spec.entry_point,
        inputs_json=spec.inputs_json,
        inputs_blob=spec.inputs_blob,
        meta_json=spec.meta_json,
        extra_json=spec.extra_json,
    )


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`, or an empty one."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refusals(status: int, said: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what FastAPI says of values that do not fit a handler's model, by field; empty for other answers."""
    if status != 422 or not isinstance(said.get("detail"), list):
        return {}
    found: dict[str, list[str]] = {}
    for problem in said["detail"]:
        if isinstance(problem, Mapping) and isinstance(place := problem.get("loc"), list):
            name = ".".join(str(part) for part in place[1:]) or GLOBAL
            found.setdefault(name, []).append(str(problem.get("msg", "is not valid")))
    return found


def _field_errors(errors: Any) -> Sequence[host_pb2.FieldError]:
    """Return messages by field, those that concern no field last; a field without a message is left out."""
    if not isinstance(errors, Mapping):
        return []
    found = []
    for name, texts in sorted(errors.items(), key=lambda item: item[0] == GLOBAL):
        messages = [str(text) for text in texts] if isinstance(texts, list | tuple) else [str(texts)]
        if messages:
            found.append(host_pb2.FieldError(field="" if name == GLOBAL else str(name), messages=messages))
    return found


def _detail(said: Mapping[str, Any], response: asgi.Response) -> str:
    """Return why there is no job: what the app calls its detail, else what it sent."""
    detail = said.get("detail")
    text = detail if isinstance(detail, str) else response.body.decode(errors="replace").strip()
    return text[:_DETAIL_CHARS_MAX] or f"the app answered {response.status}"
