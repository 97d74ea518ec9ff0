"""What an app says to a form's inputs and to a lock's answer, as the runner hears it."""

import json
from typing import Any

import fastapi
import pydantic
import pytest
from agentmesh_protos.runner.v1 import host_pb2

from agentmesh import InputsError, Launch, ServeAPI
from agentmesh import forms as F  # noqa: N812
from agentmesh._app.loading import Asgi, LoadedApp
from agentmesh.host.app import answers

app = ServeAPI()
model = F.Model(F.InputText(label="How", name="how", required=True), F.Submit("Go"))


@app.enter("/", model=model)
async def enter(inputs: dict[str, Any], request: fastapi.Request) -> Any:
    """Launch, refuse or break as told."""
    match inputs["how"]:
        case "two":
            Launch(request, run, inputs={"number": 1})
            return Launch(request, run, inputs={"number": 2}, extra={"own": 1})
        case "refuse":
            raise InputsError("Not like this.", how="Say two.")
        case "forget":
            return None
        case "break":
            raise RuntimeError("broken")
        case "teapot":
            raise fastapi.HTTPException(418, "I am a teapot")
        case "who":
            raise InputsError(how=f"{request.state.user} at {request.state.prefix}")
    return Launch(request, run, inputs=inputs)


def run() -> None:
    """Do nothing."""


@app.lock("greeting")
def form(data: dict[str, Any], request: fastapi.Request) -> F.Model:
    """Ask for a greeting."""
    return F.Model(F.InputText(label="Greeting", name="greeting", pattern="[a-z]+"))


@app.lease("greeting")
def lease(inputs: dict[str, Any], data: dict[str, Any], request: fastapi.Request) -> Any:
    """Take what is polite; a form's pattern says what else is wrong."""
    if inputs["greeting"] == "damn":
        raise InputsError("Be polite.")
    if inputs["greeting"] == "break":
        raise RuntimeError("broken")
    return {"said": inputs["greeting"], "to": data["who"], "by": request.state.user}


plain = fastapi.FastAPI()


@plain.post("/plain")
async def start(request: fastapi.Request) -> fastapi.Response:
    """Launch twice, answer with the second."""
    Launch(request, run)
    return Launch(request, run, inputs=await request.json())


class Sized(pydantic.BaseModel):
    """What a route takes."""

    name: str
    size: int = 1


@plain.post("/sized")
async def sized(data: Sized, request: fastapi.Request) -> fastapi.Response:
    """Launch with a model."""
    return Launch(request, run, inputs=data)


async def ask(inputs: Any, path: str = "/", asgi: Asgi = app) -> host_pb2.AskResult:
    """Ask a form handler."""
    question = host_pb2.Ask(
        ask_id=7,
        path=path,
        inputs_json=json.dumps(inputs) if inputs is not None else "",
        user="users/ann",
        base_url="http://mesh",
        extra_json='{"noted": "ü"}',
    )
    return await answers.ask(answers.Served(app=LoadedApp(asgi, []), expose="demo"), question)


async def check(inputs: dict[str, Any], title: str = "greeting") -> host_pb2.LockCheck:
    """Have a lock's answer checked."""
    question = host_pb2.CheckLock(
        check_id=8,
        lock="jobs/f/locks/l",
        title=title,
        inputs_json=json.dumps(inputs),
        data_json='{"who": "Ada"}',
        user="users/ann",
        base_url="http://mesh",
    )
    return await answers.check_lock(answers.Served(app=LoadedApp(app, []), expose="demo"), question)


@pytest.mark.parametrize(("asgi", "path", "inputs"), [(app, "/", {"how": "two"}), (plain, "/plain", {"number": 2})])
async def test_the_launch_that_was_returned_comes_first(asgi: Asgi, path: str, inputs: Any) -> None:
    """Whichever way the app is written; the others follow."""
    result = await ask(inputs, path, asgi)

    assert (7, 0, "", []) == (result.ask_id, result.status, result.detail, list(result.errors))
    assert {"number": 2} == json.loads(result.launches[0].inputs_json)
    assert {"noted": "ü"}.items() <= json.loads(result.launches[0].extra_json).items()
    assert 2 == len(result.launches)
    assert path == result.launches[0].path


@pytest.mark.parametrize(
    ("inputs", "errors"),
    [
        ({"how": "refuse"}, {"how": ["Say two."], "": ["Not like this."]}),
        ({"how": "who"}, {"how": ["ann at http://mesh/-/demo"]}),
        (None, ["how"]),
    ],
)
async def test_errors_come_by_field(inputs: Any, errors: Any) -> None:
    """What concerns no field has no name and comes last; nothing is launched."""
    result = await ask(inputs)

    found = {error.field: list(error.messages) for error in result.errors}
    assert errors == (found if isinstance(errors, dict) else list(found))
    assert [] == list(result.launches)
    assert (0, "") == (result.status, result.detail)


async def test_what_does_not_fit_a_route_s_model_comes_by_field() -> None:
    """As a form's errors do: FastAPI answers 422 with where and what."""
    result = await ask({"size": "big"}, "/sized", plain)

    assert ["name", "size"] == [error.field for error in result.errors]
    assert ["Field required"] == list(result.errors[0].messages)
    assert (0, []) == (result.status, list(result.launches))


@pytest.mark.parametrize(
    ("inputs", "path", "status", "detail"),
    [
        ({"how": "forget"}, "/", 400, "must return a Launch"),
        ({"how": "break"}, "/", 500, "RuntimeError: broken"),
        ({"how": "teapot"}, "/", 418, "I am a teapot"),
        ([], "/", 400, "must be a JSON object"),
        ({}, "/nowhere", 404, "Not Found"),
    ],
)
async def test_what_else_a_handler_answers_is_told(inputs: Any, path: str, status: int, detail: str) -> None:
    """By its status and in its words."""
    result = await ask(inputs, path)

    assert status == result.status
    assert detail in result.detail
    assert ([], []) == (list(result.launches), list(result.errors))


async def test_a_locks_answer_is_leased() -> None:
    """The handlers see who answers, and what the flow handed to the form."""
    result = await check({"greeting": "hello"})

    assert (8, False, "", []) == (result.check_id, result.failed, result.detail, list(result.errors))
    assert {"said": "hello", "to": "Ada", "by": "ann"} == json.loads(result.result_json)


@pytest.mark.parametrize(
    ("inputs", "field", "message"), [({"greeting": "damn"}, "", "Be polite."), ({"greeting": "UP"}, "greeting", "")]
)
async def test_a_refused_answer_says_which_field(inputs: dict[str, Any], field: str, message: str) -> None:
    """There is no result then."""
    result = await check(inputs)

    assert [field] == [error.field for error in result.errors]
    assert message in result.errors[0].messages[0]
    assert ("", False) == (result.result_json, result.failed)


@pytest.mark.parametrize(
    ("title", "greeting", "failed", "detail"),
    [("gone", "x", False, "no lock 'gone' any more"), ("greeting", "break", True, "RuntimeError: broken")],
)
async def test_why_there_is_no_result_is_told(title: str, greeting: str, failed: bool, detail: str) -> None:
    """A lock the app does not have is a refusal, what its code raises is its failure."""
    result = await check({"greeting": greeting}, title)

    assert failed == result.failed
    assert detail in result.detail
    assert "" == result.result_json
