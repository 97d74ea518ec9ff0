"""`ServeAPI`: a FastAPI app whose forms are flows.

`@app.enter(path, model=...)` registers two routes: GET answers the form's schema, POST parses and checks the values,
calls the handler and answers with the id of the job it launched (spec: kodosumi §2.3, §2.4).  Routes of plain FastAPI
are flows too if they are marked with `entry=True`.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agentmesh import body, inject, launch, serialize
from agentmesh.errors import InputsError, describe, in_order, refusal
from agentmesh.forms import Model

USER_HEADER = b"x-kodosumi_user"
BASE_HEADER = b"x-kodosumi_base"
ANONYMOUS = "_anonymous_"

NOT_LAUNCHED = "kodosumi endpoint must return a Launch object or raise an InputsError"

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


class _Decorator(Protocol):
    """Gives back what it decorates."""

    def __call__(self, handler: _Handler, /) -> _Handler: ...


class ServeAPI(FastAPI):
    """A FastAPI app with `enter`, `lock` and `lease`.

    `request.state.user` is the caller's id and `request.state.prefix` the address the app is reached at, as the mesh
    says in its headers.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lock_handlers: dict[str, Callable[..., Any]] = {}
        self.lease_handlers: dict[str, Callable[..., Any]] = {}
        self.exception_handlers.setdefault(Exception, _internal_error)

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
        **options: Any,
    ) -> Callable[[_Handler], _Handler]:
        """Decorate the handler of a form: `def handler(inputs, request)`, `async` or not, either parameter optional.

        The handler returns a `Launch`, or raises `InputsError` with what is wrong.  Further `options` go to FastAPI.
        Raises `TypeError` if the handler needs anything but `inputs` and `request`, or `model` is no form.
        """
        if not isinstance(model, Model):
            raise TypeError(f"enter {path!r}: model must be a forms.Model, got {type(model).__name__}")
        path = _canonical(path)
        said = {"author": author, "organization": organization, "version": version}
        shown = {"summary": summary, "description": description, "tags": tags, "deprecated": deprecated, **options}
        given: dict[str, Any] = {key: value for key, value in shown.items() if value is not None}
        given.pop("methods", None)
        meta = {"tags": tags, "summary": summary, "description": description, "deprecated": deprecated, **said}
        given["openapi_extra"] = _openapi_extra(True, said, options.get("openapi_extra"))

        def decorate(handler: _Handler) -> _Handler:
            inject.wanted(handler, ("inputs", "request"))
            context = launch.FlowContext(path=path, module=getattr(handler, "__module__", ""), meta=meta)
            form = _Form(model, handler, context, given)

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
            return handler

        return decorate

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
            inject.wanted(handler, offered)
            if name in handlers:
                raise ValueError(f"{kind} {name!r} is declared twice: names are unique within an app")
            handlers[name] = handler
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
        return decorator

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


class _Form:
    """The two routes of one form."""

    def __init__(
        self, model: Model, handler: Callable[..., Any], context: launch.FlowContext, given: Mapping[str, Any]
    ) -> None:
        self._model = model
        self._handler = handler
        self._context = context
        self._given = given

    def schema(self) -> Response:
        """Answer what the author said about the flow, and its elements."""
        return JSONResponse(serialize.plain({**self._given, "elements": self._model.get_model()}))

    async def submit(self, request: Request) -> Response:
        """Parse, call the handler, check, and answer with the job's id or with what is wrong."""
        try:
            data, is_form = await body.read(request)
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, status_code=400)
        values = self._model.parse(data, form=is_form)
        problems = self._model.check(values)
        with _forgetting() as keep:
            try:
                # A copy: a handler that changes its inputs must not change what is checked.
                response = await self._call(dict(values), request)
            except InputsError as error:
                return self._refuse(refusal(error, problems))
            except HTTPException:
                raise  # the author's own answer
            except Exception as error:
                if problems:  # it has stumbled over what is wrong with the values
                    return self._refuse(problems)
                return JSONResponse({"detail": describe(error)}, status_code=500)
            job_id = launch.launched(response)
            if job_id is None:
                return JSONResponse({"detail": NOT_LAUNCHED}, status_code=400)
            if problems:
                return self._refuse(problems)
            keep()
        return self._answer({"result": job_id})

    async def _call(self, values: dict[str, Any], request: Request) -> Any:
        run = inject.by_name(self._handler, inputs=values, request=request)
        token = launch.flow.set(self._context)
        try:
            return await inject.call(self._handler, run)
        finally:
            launch.flow.reset(token)

    def _refuse(self, errors: Mapping[str, list[str]]) -> Response:
        return self._answer({"errors": in_order(errors)})

    def _answer(self, content: dict[str, Any]) -> Response:
        return JSONResponse(serialize.plain({**content, "elements": self._model.get_model()}))


@contextlib.contextmanager
def _forgetting() -> Iterator[Callable[[], None]]:
    """Take back the launches that are noted within the block, unless it calls what this yields."""
    noted = launch.launches.get(None)
    before = len(noted) if noted is not None else 0
    kept = False

    def keep() -> None:
        nonlocal kept
        kept = True

    try:
        yield keep
    finally:
        if noted is not None and not kept:
            del noted[before:]


def _canonical(path: str) -> str:
    """Return a flow's path as the mesh calls it: no slash at its end, but for the root."""
    return "/" + path.strip("/")


def _openapi_extra(entry: bool, said: Mapping[str, Any], own: Mapping[str, Any] | None) -> dict[str, Any]:
    extras = {f"x-{key}": value for key, value in said.items() if value is not None}
    return {**(own or {}), "x-kodosumi": entry, **extras}


async def _internal_error(request: Request, error: Exception) -> Response:
    """Answer for a route of plain FastAPI that has failed: what is meant for the user, no traceback."""
    return JSONResponse({"detail": describe(error)}, status_code=500)
