"""The two routes of a flow's form: GET answers its schema, POST takes values (spec: kodosumi §2.4).

A form of `@app.enter` asks the author's handler for a `Launch`; one of `@app.flow` launches its function itself.
"""

import abc
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentmesh import launch
from agentmesh._app import body, declare, inject
from agentmesh._app.declare import Declared
from agentmesh._values import serialize
from agentmesh.errors import InputsError, describe, in_order, refusal
from agentmesh.forms import Model

NOT_LAUNCHED = "kodosumi endpoint must return a Launch object or raise an InputsError"


class Form(abc.ABC):
    """The two routes of one form."""

    def __init__(self, model: Model, context: launch.FlowContext, given: Mapping[str, Any]) -> None:
        self._model = model
        self._context = context
        self._given = given

    def elements(self) -> list[dict[str, Any]]:
        """Return the elements' JSON."""
        return self._model.get_model()

    def schema(self) -> Response:
        """Answer what the author said about the flow, and its elements."""
        return JSONResponse(serialize.plain({**self._given, "elements": self.elements()}))

    async def submit(self, request: Request) -> Response:
        """Parse, check, launch, and answer with the job's id or with what is wrong."""
        try:
            data, is_form = await body.read(request)
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, status_code=400)
        token = launch.flow.set(self._context)
        try:
            return await self._take(data, is_form, request)
        finally:
            launch.flow.reset(token)

    @abc.abstractmethod
    async def _take(self, data: Mapping[str, Any], is_form: bool, request: Request) -> Response:
        """Answer for the values of a request."""

    def _refuse(self, errors: Mapping[str, list[str]]) -> Response:
        return self._answer({"errors": in_order(errors)})

    def _answer(self, content: dict[str, Any]) -> Response:
        return JSONResponse(serialize.plain({**content, "elements": self.elements()}))


class HandlerForm(Form):
    """Its handler checks the values, and launches."""

    def __init__(
        self, model: Model, handler: Callable[..., Any], context: launch.FlowContext, given: Mapping[str, Any]
    ) -> None:
        super().__init__(model, context, given)
        self._handler = handler

    async def _take(self, data: Mapping[str, Any], is_form: bool, request: Request) -> Response:
        values = self._model.parse(data, form=is_form)
        problems = self._model.check(values)
        with _forgetting() as keep:
            try:
                # A copy: a handler that changes its inputs must not change what is checked.
                data = declare.as_annotated(self._handler, "data", values)
                run = inject.by_name(self._handler, inputs=dict(values), data=data, request=request)
                response = await inject.call(self._handler, run)
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


class DeclaredForm(Form):
    """The flow's own declaration checks the values."""

    def __init__(
        self, declared: Declared, function: Callable[..., Any], context: launch.FlowContext, given: Mapping[str, Any]
    ) -> None:
        super().__init__(declared.form, context, given)
        self._declared = declared
        self._function = function

    async def _take(self, data: Mapping[str, Any], is_form: bool, request: Request) -> Response:
        values, problems = self._declared.parse(data, form=is_form)
        if problems:
            return self._refuse(problems)
        return self._answer({"result": launch.Launch(request, self._function, inputs=values).fid})


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
