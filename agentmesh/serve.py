"""`ServeAPI`: a FastAPI app whose forms are flows.

`@app.flow(path)` makes a function a flow whose inputs are declared: the mesh checks them and starts the job.
`@app.enter(path, model=...)` is kodosumi's way: its handler checks the values and returns a `Launch`.  Either registers
two routes: GET answers the form's schema, POST takes values and answers with the id of the job.  Routes of plain
FastAPI are flows too if they are marked with `entry=True`.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, get_args

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agentmesh import launch
from agentmesh._app import entry, inject
from agentmesh._app.declare import Declared, declare, declared_by
from agentmesh._app.loading import Isolation
from agentmesh._app.routes import DeclaredForm, Form, HandlerForm
from agentmesh.allowance import Allowance, Budget
from agentmesh.errors import describe
from agentmesh.forms import Model
from agentmesh.retries import Retries

USER_HEADER = b"x-kodosumi_user"
BASE_HEADER = b"x-kodosumi_base"
ANONYMOUS = "_anonymous_"

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


class _Decorator(Protocol):
    """Gives back what it decorates."""

    def __call__(self, handler: _Handler, /) -> _Handler: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the mesh is told of a flow beside what its OpenAPI operation says."""

    form: Form
    isolation: Isolation | None = None
    """As its author declared it, for the flow or for the whole app."""
    allowance: Allowance = Allowance()  # noqa: RUF009  # frozen, and so shared
    declared: Declared | None = None
    """Of a flow whose inputs are declared."""
    function: Callable[..., Any] | None = None
    """Of a flow whose inputs are declared: what a job runs."""

    def entry_point(self) -> str:
        """Return `module:function` of the job; empty if the handler names it at the launch.

        Raises `ValueError` for a function that another process cannot find.
        """
        if self.function is None:
            return ""
        place = f"{self.function.__module__}:{self.function.__qualname__}"
        if "<" not in place and declared_by(entry.resolve(place)) is declared_by(self.function):
            return place  # also where a decorator has wrapped it since
        return entry.name_of(self.function, getattr(self.function, "__module__", None))


class ServeAPI(FastAPI):
    """A FastAPI app with `flow`, `enter`, `lock` and `lease`.

    `isolation` separates the jobs of all its flows that do not say it themselves: `"process"` gives each a process,
    `"shared"` runs them as tasks in one.  `request.state.user` is the caller's id and `request.state.prefix` the
    address the app is reached at, as the mesh says in its headers.
    """

    def __init__(self, *args: Any, isolation: Isolation | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.isolation = _checked(isolation)
        self._bare_lifespan = None if options.get("lifespan") else self.router.lifespan_context
        self.offers: dict[str, Offer] = {}
        """By path."""
        self.servable: Any = None
        """Of an app whose handlers are methods of a deployment's class: the object that they are called on."""
        self.lock_handlers: dict[str, Callable[..., Any]] = {}
        self.lease_handlers: dict[str, Callable[..., Any]] = {}
        self.exception_handlers.setdefault(Exception, _internal_error)

    @property
    def starts_idle(self) -> bool:
        """Whether the app does nothing until it is asked: it has no start-up and no shutdown of its own."""
        router = self.router
        return router.lifespan_context is self._bare_lifespan and not router.on_startup and not router.on_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] in ("http", "websocket"):
            headers = dict(scope.get("headers", ()))
            said = {
                "user": headers.get(USER_HEADER, b"").decode("latin-1") or ANONYMOUS,
                "prefix": headers.get(BASE_HEADER, b"").decode("latin-1"),
            }
            # A copy: servers share one state between all requests.
            scope = {**scope, "state": {**scope.get("state", {}), **said}}
        await super().__call__(scope, receive, send)

    def flow(
        self,
        path: str = "/",
        model: Model | None = None,
        summary: str | None = None,
        description: str | None = None,
        tags: list[str] | None = None,
        version: str | None = None,
        author: str | None = None,
        organization: str | None = None,
        deprecated: bool | None = None,
        isolation: Isolation | None = None,
        retries: Retries | int | None = None,
        deadline_s: float = 0.0,
        budget: Budget | None = None,
        park_after_s: float | None = None,
        **options: Any,
    ) -> Callable[[_Handler], _Handler]:
        """Decorate a flow: `def flow(inputs: Model, tracer)`, `async` or not, either parameter optional.

        `Model` is a pydantic model; with `model` given, a `forms.Model`, `inputs` is a dict.  The mesh derives the form
        from it, checks the inputs by it and runs the function in a job; the function stays callable as it is.

        A job that fails or is lost is started again as `retries` says; one that takes longer than `deadline_s` seconds
        in all, or consumes more than its `budget`, fails.  With `park_after_s` a job that has waited on a lock for so
        many seconds is parked (`Tracer.lock`).  Further `options` go to FastAPI.  Raises `TypeError` for a function
        that does not say what it takes.
        """
        if not isinstance(path, str):
            raise TypeError(f"flow {getattr(path, '__qualname__', path)}: write @app.flow(), with the parentheses")
        allowance = Allowance.of(retries, deadline_s, budget)
        said = {"author": author, "organization": organization, "version": version}
        shown = {"summary": summary, "description": description, "tags": tags, "deprecated": deprecated}
        separated = _checked(isolation) or self.isolation

        def decorate(function: _Handler) -> _Handler:
            declared = declare(function, model, park_after_s)
            if (known := self.offers.get(_canonical(path))) is not None:
                taken = getattr(known.function, "__qualname__", "another")
                name = getattr(function, "__qualname__", "flow")
                raise ValueError(f"flow {name}: its path {_canonical(path)!r} is that of {taken}: give it another")

            def made(context: launch.FlowContext, given: Mapping[str, Any]) -> Form:
                return DeclaredForm(declared, function, context, given)

            form = self._add_form(_canonical(path), function, {**shown, **options}, said, made)
            self.offers[_canonical(path)] = Offer(
                form=form, isolation=separated, allowance=allowance, declared=declared, function=function
            )
            return function

        return decorate

    def enter(
        self,
        path: str,
        model: Model,
        summary: str | None = None,
        description: str | None = None,
        tags: list[str] | None = None,
        version: str | None = None,
        author: str | None = None,
        organization: str | None = None,
        deprecated: bool | None = None,
        isolation: Isolation | None = None,
        retries: Retries | int | None = None,
        deadline_s: float = 0.0,
        budget: Budget | None = None,
        **options: Any,
    ) -> Callable[[_Handler], _Handler]:
        """Decorate the handler of a form: `def handler(inputs, request)`, `async` or not, either parameter optional.

        `data` is another name of `inputs`; annotated with a pydantic model, it is one.  The handler returns a `Launch`,
        or raises `InputsError` with what is wrong.  `retries`, `deadline_s` and `budget` are as of `flow`.  Further
        `options` go to FastAPI.  Raises `TypeError` if the handler needs anything else, or `model` is no form.
        """
        if not isinstance(model, Model):
            raise TypeError(f"enter {path!r}: model must be a forms.Model, got {type(model).__name__}")
        model.check_names()
        allowance = Allowance.of(retries, deadline_s, budget)
        said = {"author": author, "organization": organization, "version": version}
        shown = {"summary": summary, "description": description, "tags": tags, "deprecated": deprecated}
        separated = _checked(isolation) or self.isolation

        def decorate(handler: _Handler) -> _Handler:
            called = inject.on_object(handler, lambda: self.servable)
            inject.wanted(called, ("inputs", "data", "request"))

            def made(context: launch.FlowContext, given: Mapping[str, Any]) -> Form:
                return HandlerForm(model, called, context, given)

            form = self._add_form(_canonical(path), handler, {**shown, **options}, said, made)
            self.offers[_canonical(path)] = Offer(form=form, isolation=separated, allowance=allowance)
            return handler

        return decorate

    def _add_form(
        self,
        path: str,
        handler: Callable[..., Any],
        options: Mapping[str, Any],
        said: Mapping[str, Any],
        made: Callable[[launch.FlowContext, Mapping[str, Any]], Form],
    ) -> Form:
        """Add the two routes of a form; `options` and `said` are what the author says about the flow."""
        given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        given.pop("methods", None)
        given["openapi_extra"] = _openapi_extra(True, said, options.get("openapi_extra"))
        meta = {**{key: options[key] for key in ("tags", "summary", "description", "deprecated")}, **said}
        # What the list of flows calls it, of which FastAPI makes the name where the author gives none.
        meta["summary"] = meta["summary"] or launch.title(getattr(handler, "__name__", "form"))
        context = launch.FlowContext(path=path, module=getattr(handler, "__module__", ""), meta=meta)
        form = made(context, given)

        # Functions without a docstring: FastAPI would take it for the flow's description.
        async def schema() -> Response:
            return form.schema()

        async def submit(request: Request) -> Response:
            return await form.submit(request)

        # FastAPI makes a summary of a route's name, where the author gives none.
        route = {**given, "name": getattr(handler, "__name__", "form"), "response_model": None}
        extra = _openapi_extra(False, said, options.get("openapi_extra"))
        self.add_api_route(path, schema, methods=["GET"], **route)
        self.add_api_route(path, submit, methods=["POST"], **{**route, "openapi_extra": extra})
        return form

    def lock(self, name: str) -> Callable[[_Handler], _Handler]:
        """Decorate what makes the form of a lock: `def handler(data, request) -> Model`."""
        return self._registered(self.lock_handlers, "lock", name, ("data", "request"))

    def lease(self, name: str) -> Callable[[_Handler], _Handler]:
        """Decorate what turns a lock's answer into its result: `def handler(inputs, data, request)`."""
        return self._registered(self.lease_handlers, "lease", name, ("inputs", "data", "request"))

    def _registered(
        self, handlers: dict[str, Callable[..., Any]], kind: str, name: str, offered: tuple[str, ...]
    ) -> Callable[[_Handler], _Handler]:
        def decorate(handler: _Handler) -> _Handler:
            called = inject.on_object(handler, lambda: self.servable)
            inject.wanted(called, offered)
            if name in handlers:
                raise ValueError(f"{kind} {name!r} is declared twice: names are unique within an app")
            handlers[name] = called
            return handler

        return decorate

    def _route(self, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> _Decorator:
        """Declare a route of plain FastAPI; `entry` marks it as a flow, the others go into the OpenAPI document."""
        entry = options.pop("entry", None)
        said = {key: options.pop(key, None) for key in ("author", "organization", "version")}
        if entry:
            args = tuple(_canonical(arg) if at == 0 else arg for at, arg in enumerate(args))
            options |= {"path": _canonical(options["path"])} if "path" in options else {}
        if entry or any(value is not None for value in said.values()):
            options["openapi_extra"] = _openapi_extra(bool(entry), said, options.get("openapi_extra"))
        decorator: _Decorator = getattr(super(), method)(*args, **options)

        def decorate(handler: _Handler) -> _Handler:
            parameter = inspect.signature(handler).parameters.get("request")
            if inspect.isfunction(handler) and parameter is not None and parameter.annotation is parameter.empty:
                handler.__annotations__["request"] = Request  # or FastAPI would look for it in the query
            return decorator(handler)

        return decorate

    def get(self, *args: Any, **options: Any) -> _Decorator:
        """As in FastAPI, plus `entry`, `author`, `organization` and `version`."""
        return self._route("get", args, options)

    def post(self, *args: Any, **options: Any) -> _Decorator:
        """As in FastAPI, plus `entry`, `author`, `organization` and `version`."""
        return self._route("post", args, options)

    def put(self, *args: Any, **options: Any) -> _Decorator:
        """As in FastAPI, plus `entry`, `author`, `organization` and `version`."""
        return self._route("put", args, options)

    def delete(self, *args: Any, **options: Any) -> _Decorator:
        """As in FastAPI, plus `entry`, `author`, `organization` and `version`."""
        return self._route("delete", args, options)

    def patch(self, *args: Any, **options: Any) -> _Decorator:
        """As in FastAPI, plus `entry`, `author`, `organization` and `version`."""
        return self._route("patch", args, options)

    def options(self, *args: Any, **options: Any) -> _Decorator:
        """As in FastAPI, plus `entry`, `author`, `organization` and `version`."""
        return self._route("options", args, options)

    def head(self, *args: Any, **options: Any) -> _Decorator:
        """As in FastAPI, plus `entry`, `author`, `organization` and `version`."""
        return self._route("head", args, options)


def _checked(isolation: Any) -> Isolation | None:
    if isolation not in (None, *get_args(Isolation)):
        raise ValueError(f"isolation must be 'process' or 'shared', not {isolation!r}")
    checked: Isolation | None = isolation
    return checked


def _canonical(path: str) -> str:
    """Return a flow's path as the mesh calls it: no slash at its end, but for the root."""
    return "/" + path.strip("/")


def _openapi_extra(entry: bool, said: Mapping[str, Any], own: Mapping[str, Any] | None) -> dict[str, Any]:
    extras = {f"x-{key}": value for key, value in said.items() if value is not None}
    return {**(own or {}), "x-kodosumi": entry, **extras}


async def _internal_error(request: Request, error: Exception) -> Response:
    """Answer for a route of plain FastAPI that has failed: what is meant for the user, no traceback."""
    return JSONResponse({"detail": describe(error)}, status_code=500)
