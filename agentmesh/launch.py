"""`Launch`: what a handler returns to start a job.

A launch is only noted here; the host sends what `launches` holds to the runner, and answers the caller once the job is
on disk.
"""

import contextvars
import dataclasses
import json
import logging
import pickle
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentmesh import ids
from agentmesh._app import entry
from agentmesh._values import serialize

LAUNCH_HEADER = "kodosumi_launch"
EXTRA_HEADER = "x-kodosumi_extra"
INPUTS_BYTES_MAX = 8 * 1024 * 1024
"""How large the inputs of a job may be; the mesh's messages hold 16 MiB."""

META_KEYS = ("tags", "summary", "description", "deprecated", "author", "organization", "version")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """A job that a handler asks for: the fields of `mesh.runner.v1.Launch`."""

    job_id: str
    """24 hex digits."""
    path: str
    """Path of the flow within the app."""
    entry_point: str
    """`module:function`."""
    inputs_json: str
    """A JSON object."""
    inputs_blob: bytes = b""
    """The same inputs pickled, where JSON would lose something; else empty.  Only this app's jobs may unpickle it."""
    meta_json: str = "{}"
    """What the author said about the flow: a JSON object with the keys `META_KEYS`, null where unknown."""
    extra_json: str = ""
    """What was noted for this job: a JSON object; empty if nothing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowContext:
    """The flow whose handler runs now."""

    path: str
    module: str
    """Of the handler: where an entry point is looked for first."""
    meta: Mapping[str, Any]
    """By `META_KEYS`."""


launches: contextvars.ContextVar[list[LaunchSpec]] = contextvars.ContextVar("launches")
"""The host sets a fresh list around each call of the app; `Launch` appends to it."""

flow: contextvars.ContextVar[FlowContext] = contextvars.ContextVar("flow")
"""Set around each handler of a flow."""


class Launch(JSONResponse):
    """Starts a job: a handler returns it.

    `entry_point` is `"package.module:function"`, `"package.module.function"`, a function, or a crew; `inputs` is what
    it gets.  `summary` and `description` override the flow's for this job, `extra` is a JSON object kept with it.
    `reference` is taken for source compatibility and not used.

    Raises `ValueError` if the entry point cannot be found by another process, or the inputs cannot be sent to one.
    """

    def __init__(
        self,
        request: Request,
        entry_point: Any,
        inputs: Any = None,
        reference: Any = None,
        summary: str | None = None,
        description: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        context = flow.get(None) or _context_of(request)
        inputs_json, inputs_blob = pack_inputs({} if inputs is None else inputs)
        meta = {key: context.meta.get(key) for key in META_KEYS}
        if summary is not None:
            meta["summary"] = summary
        if description is not None:
            meta["description"] = description
        self.spec = LaunchSpec(
            job_id=ids.new_job_id(),
            path=context.path,
            entry_point=entry.name_of(entry_point, context.module),
            inputs_json=inputs_json,
            inputs_blob=inputs_blob,
            meta_json=serialize.to_json(meta),
            extra_json=_extra_json(request, extra),
        )
        super().__init__({"fid": self.spec.job_id}, headers={LAUNCH_HEADER: self.spec.job_id})
        noted = launches.get(None)
        if noted is None:
            log.warning("Launch outside of an agentmesh host: job %s is not started", self.spec.job_id)
        else:
            noted.append(self.spec)

    @property
    def fid(self) -> str:
        """Id of the job."""
        return self.spec.job_id


def launched(response: Any) -> str | None:
    """Return the id of the job that `response` launches, or None."""
    return response.headers.get(LAUNCH_HEADER) if isinstance(response, Response) else None


def pack_inputs(inputs: Any) -> tuple[str, bytes]:
    """Return inputs as a JSON object and, if that would lose something, pickled as well.

    Raises `ValueError` if they are no mapping, model or object with fields, cannot be pickled, or are larger than
    `INPUTS_BYTES_MAX`.
    """
    as_json = serialize.plain(inputs)
    if not isinstance(as_json, dict):
        raise ValueError(f"Launch: inputs must be a dict, got {type(inputs).__name__}")
    blob = b""
    if not serialize.survives_json(inputs):
        try:
            blob = pickle.dumps(inputs)
        except Exception as error:
            raise ValueError(f"Launch: {_culprit(inputs)} cannot be sent to the job's process: {error}") from error
    text = serialize.to_json(as_json)
    size = max(len(text.encode()), len(blob))
    if size > INPUTS_BYTES_MAX:
        raise ValueError(
            f"Launch: inputs take {size} bytes, at most {INPUTS_BYTES_MAX} can be sent; pass an address of the data"
        )
    return text, blob


def _culprit(inputs: Any) -> str:
    for name, value in inputs.items() if isinstance(inputs, Mapping) else ():
        try:
            pickle.dumps(value)
        except Exception:  # pickling runs code of the value's class
            return f"inputs[{name!r}]"
    return "inputs"


def _extra_json(request: Request, extra: Mapping[str, Any] | None) -> str:
    merged = dict(extra or {})
    try:
        # Set by the host; the mesh strips a client's own.  It wins over the author's (spec: kodosumi §9).
        noted = json.loads(request.headers.get(EXTRA_HEADER) or "{}")
    except ValueError:
        noted = {}
    if isinstance(noted, dict):
        merged |= noted
    return serialize.to_json(merged) if merged else ""


def title(name: str) -> str:
    """Return what a function's name reads as, as FastAPI makes an operation's summary of it."""
    return name.replace("_", " ").title()


def _context_of(request: Request) -> FlowContext:
    """Tell the flow from the request's route, for a launch in an endpoint of plain FastAPI."""
    route = request.scope.get("route")
    extra = getattr(route, "openapi_extra", None) or {}
    meta = {
        "tags": getattr(route, "tags", None) or None,
        "summary": getattr(route, "summary", None) or title(getattr(route, "name", "")) or None,
        "description": getattr(route, "description", None) or None,
        "deprecated": getattr(route, "deprecated", None),
        **{key: extra.get(f"x-{key}") for key in ("author", "organization", "version")},
    }
    endpoint = getattr(route, "endpoint", None)
    path = getattr(route, "path", None) or request.scope.get("path", "/")
    return FlowContext(path=str(path), module=str(getattr(endpoint, "__module__", "")), meta=meta)
