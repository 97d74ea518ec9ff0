"""Locks: a flow asks a human and waits.

The job's process makes the form with the app's own `lock` handler and sends it along, so that it can be shown whatever
becomes of the app.  An answer is parsed, checked and leased in the app's handler process (`check`); what comes out is
what `tracer.lock` returns.
"""

import concurrent.futures
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from agentmesh._app import inject
from agentmesh._values import serialize
from agentmesh.errors import InputsError, KodosumiError, describe, in_order, refusal


class LockExpired(TimeoutError):
    """Nobody answered in time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A lock as the job's process sends it."""

    title: str
    elements: list[dict[str, Any]]
    data: dict[str, Any]
    timeout_s: float
    """0 takes the mesh's default."""
    park_s: float | None = None
    """After how many seconds the job that waits need not be kept; None: it is kept."""
    may_park: Callable[[], bool] = bool
    """Whether it does nothing else at the moment."""


Ask = Callable[[Question], "concurrent.futures.Future[Any]"]
"""Sends a question; the future has its answer, or raises `LockExpired`."""


async def make(app: Any, name: str, data: Mapping[str, Any] | None, timeout: float | None) -> Question:
    """Make the form of a lock with the app's handler.

    Raises `KodosumiError` if the app has none of that name, it gives no form, or `timeout` is no positive number.
    """
    handlers: Mapping[str, Callable[..., Any]] = getattr(app, "lock_handlers", {})
    if name not in handlers:
        raise KodosumiError(f"lock {name!r} has no form: declare it with @app.lock({name!r})")
    if timeout is not None and not 0 < timeout < float("inf"):
        raise KodosumiError(f"lock {name!r}: timeout must be a positive number of seconds, got {timeout!r}")
    given = dict(data or {})
    model = await _awaited(inject.by_name(handlers[name], data=given, request=_request())())
    if not callable(getattr(model, "get_model", None)):
        raise KodosumiError(f"lock {name!r}: its handler must return a forms.Model, got {type(model).__name__}")
    return Question(title=name, elements=model.get_model(), data=serialize.plain(given), timeout_s=timeout or 0.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What an app says to a lock's answer: a result, or errors, or why there is neither."""

    result: Any = None
    """What the flow gets."""
    errors: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)
    """What is wrong with the answer, by field."""
    detail: str = ""
    """Why there is neither result nor errors; empty if there is one."""
    failed: bool = False
    """Whether that is the app's failure."""


async def check(app: Any, name: str, inputs: Mapping[str, Any], data: Mapping[str, Any], request: Any) -> Checked:
    """Parse, check and lease an answer.  `request` is for the handlers that want one (Starlette's `Request`)."""
    handler = getattr(app, "lock_handlers", {}).get(name)
    if handler is None:
        return Checked(detail=f"the app has no lock {name!r} any more")
    try:
        model = await _awaited(inject.by_name(handler, data=data, request=request)())
        values = model.parse(inputs)
        problems = model.check(values)
        lease = app.lease_handlers.get(name)
        # All that was sent, also what the form does not have: handlers and flows make their own of it.
        result: Any = {**inputs, **values}
        try:
            if lease is not None:
                leased = inject.by_name(lease, inputs=dict(result), data=data, request=request)
                result = await inject.call(lease, leased)
        except InputsError as error:
            return Checked(errors=in_order(refusal(error, problems)))
        if problems:
            return Checked(errors=in_order(problems))
        return Checked(result=serialize.plain(result))
    except Exception as error:
        return Checked(detail=describe(error), failed=True)


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _request() -> Any:
    """Return the request that a lock handler may ask for; in a job there is no real one."""
    from starlette.requests import Request

    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "state": {}})
