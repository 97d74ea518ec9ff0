"""The two routes of a form (spec: kodosumi §2.3, §2.4), called as a host calls them."""

import json
from typing import Any

import fastapi
import pydantic
import pytest

from agentmesh import InputsError, Launch, ServeAPI, forms, serve
from agentmesh._app.loading import flows_of
from tests.sdk import flows
from tests.sdk.calling import calling

GOOD = {"name": "Ada"}


async def test_get_answers_the_schema() -> None:
    """What the author gave and nothing else, the marks in `openapi_extra`, then the elements."""
    async with calling(flows.app) as (client, _):
        response = await client.get("/")

    assert 200 == response.status_code
    assert {
        "summary": "Hello",
        "description": "Says hello.",
        "tags": ["b", "a"],
        "openapi_extra": {"x-kodosumi": True, "x-author": "me@example.com", "x-version": "1.0"},
        "elements": flows.MODEL.get_model(),
    } == response.json()


async def test_get_leaves_out_what_was_not_given() -> None:
    """A flow without a word about it has only its mark and its form."""
    async with calling(flows.app) as (client, _):
        plain = (await client.get("/sync")).json()
        strict = (await client.get("/strict")).json()

    assert {"openapi_extra": {"x-kodosumi": True}, "elements": flows.MODEL.get_model()} == plain
    assert {"x-kodosumi": True, "x-organization": "House"} == strict["openapi_extra"]
    assert strict["deprecated"] is False


async def test_post_launches() -> None:
    """The answer is the job's id and the form; the launch has what the job needs."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", json=GOOD)

    (spec,) = launches
    assert 200 == response.status_code
    assert {"result": spec.job_id, "elements": flows.MODEL.get_model()} == response.json()
    assert ("/", "tests.sdk.flows:run") == (spec.path, spec.entry_point)
    inputs = {"name": "Ada", "age": 20, "news": True, "plan": "free", "_global_": None}
    assert inputs == json.loads(spec.inputs_json)
    assert (b"", "") == (spec.inputs_blob, spec.extra_json)
    assert {
        "tags": ["b", "a"],
        "summary": "Hello",
        "description": "Says hello.",
        "deprecated": None,
        "author": "me@example.com",
        "organization": None,
        "version": "1.0",
    } == json.loads(spec.meta_json)


async def test_a_form_encoded_post_is_taken() -> None:
    """As a browser sends it: text, boxes as `on` or not at all."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", data={"name": "Ada Lovelace", "age": "36", "plan": "pro"})

    assert launches[0].job_id == response.json()["result"]
    inputs = {"name": "Ada Lovelace", "age": "36", "news": False, "plan": "pro", "_global_": None}
    assert inputs == json.loads(launches[0].inputs_json)


async def test_the_content_type_of_json_is_not_asked_for() -> None:
    """Clients that send JSON without saying so are understood."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", content=json.dumps(GOOD), headers={"content-type": "text/plain"})

    assert launches[0].job_id == response.json()["result"]


@pytest.mark.parametrize(
    ("content", "content_type", "detail"),
    [
        (b"{", "application/json", "the request body is not valid JSON"),
        (b"\xff", "application/json", "the request body is not valid JSON"),
        (b'{"age": NaN}', "application/json", "NaN is not a JSON number"),
        (b'{"name": "\\ud800"}', "application/json", "half of a surrogate pair"),
        (b"[" * 100_000, "application/json", "the request body is not valid JSON"),
        (b"[1]", "application/json", "must be a JSON object of values by field name, not a list"),
        (b"null", "application/json", "not null"),
        (b'"text"', "application/json", "not a string"),
        (b"name=%ff", "application/x-www-form-urlencoded", "is not valid application/x-www-form-urlencoded"),
        (b"a=&" * 2_000, "application/x-www-form-urlencoded", "is not valid application/x-www-form-urlencoded"),
        (b"--x--", "multipart/mixed; boundary=x", "not multipart/mixed"),
        (b"--x", "multipart/form-data", "is not valid multipart/form-data"),
    ],
)
async def test_a_body_that_is_no_object_is_refused(content: bytes, content_type: str, detail: str) -> None:
    """400 says what is wrong; it is not taken for an empty form."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", content=content, headers={"content-type": content_type})

    assert 400 == response.status_code
    assert detail in response.json()["detail"]
    assert [] == launches


async def test_the_authors_messages_come_first() -> None:
    """Then those of fields the author said nothing about, `_global_` last."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", json={"name": "refused", "age": 3, "plan": "gold"})

    assert 200 == response.status_code
    errors = {
        "name": ["We know you."],
        "age": ["Age must be at least 18"],
        "plan": ["Plan must be one of free, pro"],
        "_global_": ["Not today."],
    }
    assert json.dumps(errors) == json.dumps(response.json()["errors"])
    assert flows.MODEL.get_model() == response.json()["elements"]
    assert "result" not in response.json()
    assert [] == launches


async def test_what_the_form_says_is_checked() -> None:
    """Though the author's handler launched: there is no job then."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", json={"name": "", "age": "young"})

    errors = {"name": ["Name is required"], "age": ["Age must be a number"], "_global_": []}
    assert json.dumps(errors) == json.dumps(response.json()["errors"])
    assert [] == launches


async def test_a_handler_that_stumbles_over_bad_values_is_no_failure() -> None:
    """The user is told about the values."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/strict", json={"name": None})

    assert 200 == response.status_code
    assert {"name": ["Name is required"], "_global_": []} == response.json()["errors"]
    assert [] == launches


async def test_a_handler_that_fails_is_a_500_without_traceback() -> None:
    """Type and text of the error, no path of the machine."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", json={"name": "crash"})

    assert 500 == response.status_code
    assert {"detail": "RuntimeError: cannot open <path>"} == response.json()
    assert [] == launches


async def test_a_handler_must_launch() -> None:
    """The message is the documented one."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", json={"name": "nothing"})

    assert 400 == response.status_code
    assert {"detail": "kodosumi endpoint must return a Launch object or raise an InputsError"} == response.json()
    assert [] == launches


async def test_two_launches_are_two_jobs() -> None:
    """The answer names the one that the handler returned."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/", json={"name": "twice"})

    assert 2 == len(launches)
    assert launches[1].job_id == response.json()["result"]


async def test_one_users_choice_is_not_the_next_ones_default() -> None:
    """Forms are shared by all requests."""
    async with calling(flows.app) as (client, _):
        before = (await client.get("/")).content
        await client.post("/", json={"name": "Ada", "plan": "pro", "news": False})
        await client.post("/", json={"name": "", "plan": "pro"})
        after = (await client.get("/")).content

    assert before == after


async def test_a_handler_that_is_not_async_runs_in_a_thread() -> None:
    """So it cannot block the others; a slash at the end of its path is not needed."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/sync", json=GOOD)

    assert flows.seen["thread"] is False
    assert launches[0].job_id == response.json()["result"]
    assert ("/sync", "tests.sdk.flows:only_inputs") == (launches[0].path, launches[0].entry_point)
    meta = json.loads(launches[0].meta_json)
    assert ("Other", "Different.", None) == (meta["summary"], meta["description"], meta["author"])


async def test_the_mesh_says_who_calls() -> None:
    """`request.state` has the caller and the app's address; without the headers nobody."""
    headers = {"x-kodosumi_user": "1234", "x-kodosumi_base": "http://mesh/-/app"}
    async with calling(flows.app) as (client, _):
        await client.post("/", json=GOOD, headers=headers)
        known = dict(flows.seen)
        await client.post("/", json=GOOD)

    assert ("1234", "http://mesh/-/app") == (known["user"], known["prefix"])
    assert (serve.ANONYMOUS, "") == (flows.seen["user"], flows.seen["prefix"])


async def test_extra_is_merged_and_the_meshs_wins() -> None:
    """What a dialect notes for a job stands over what the author noted."""
    header = json.dumps({"note": 2, "identifier_from_purchaser": "x"})
    async with calling(flows.app) as (client, launches):
        await client.post("/", json={"name": "extra"})
        await client.post("/", json={"name": "extra"}, headers={"x-kodosumi_extra": header})
        await client.post("/", json={"name": "extra"}, headers={"x-kodosumi_extra": "not json"})

    assert {"note": 1} == json.loads(launches[0].extra_json)
    assert {"note": 2, "identifier_from_purchaser": "x"} == json.loads(launches[1].extra_json)
    assert {"note": 1} == json.loads(launches[2].extra_json)


async def test_a_route_of_plain_fastapi_launches_too() -> None:
    """Its answer is the launch itself; what is known of the flow comes from the route."""
    async with calling(flows.app) as (client, launches):
        response = await client.post("/raw")

    (spec,) = launches
    assert {"fid": spec.job_id} == response.json()
    assert spec.job_id == response.headers["kodosumi_launch"]
    assert "/raw" == spec.path
    meta = json.loads(spec.meta_json)
    assert ("Raw", "you", ["c"]) == (meta["summary"], meta["author"], meta["tags"])


async def test_a_failing_route_of_plain_fastapi_answers_json() -> None:
    """No traceback, and the message that was meant for the user."""
    async with calling(flows.app) as (client, _):
        response = await client.get("/failing")

    assert (500, {"detail": "out of order"}) == (response.status_code, response.json())


def test_a_handler_gets_inputs_and_request_and_nothing_else() -> None:
    """A mistake is told when the app is loaded, not when somebody uses it."""
    app = ServeAPI()

    def needs_more(inputs: dict[str, Any], database: Any) -> None:
        """Need more."""

    with pytest.raises(TypeError, match="needs `database`, but only `inputs`, `data` and `request` are passed"):
        app.enter("/", model=forms.Model())(needs_more)
    with pytest.raises(TypeError, match=r"model must be a forms\.Model, got list"):
        app.enter("/", model=[])  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1])
async def test_errors_without_words_are_refusals(count: int) -> None:
    """`raise InputsError()` says no; a plain string in the place of a list is read as one message."""
    app = ServeAPI()

    @app.enter("/", model=forms.Model(forms.InputText("a")))
    def enter() -> Launch:
        error = InputsError()
        if count:
            error.errors["a"] = "wrong"  # type: ignore[assignment]  # what an author may do
        raise error

    async with calling(app) as (client, _):
        errors = (await client.post("/", json={})).json()["errors"]

    expected = {"a": ["wrong"], "_global_": []} if count else {"_global_": ["The values are not accepted."]}
    assert expected == errors


async def test_an_answer_of_the_authors_own_is_passed_on() -> None:
    """`HTTPException` is not an accident."""
    app = ServeAPI()

    @app.enter("/", model=forms.Model(forms.InputText("a", required=True)))
    async def enter(request: fastapi.Request) -> Launch:
        Launch(request, flows.run)
        raise fastapi.HTTPException(402, "pay first")

    async with calling(app) as (client, launches):
        response = await client.post("/", json={})

    assert (402, {"detail": "pay first"}) == (response.status_code, response.json())
    assert [] == launches


class Values(pydantic.BaseModel):
    """What a handler takes."""

    name: str
    size: int = pydantic.Field(default=3, gt=0)


modelled = ServeAPI()


@modelled.post("/", entry=True)
async def post(data: Values, request) -> Any:  # type: ignore[no-untyped-def] # as authors write it
    """Launch with a model; nobody says what `request` is."""
    return Launch(request, "json:dumps", inputs=data)


@modelled.enter("/form", model=forms.Model(forms.InputText(name="name"), forms.InputNumber(name="size", value=3)))
async def entered_with_data(data: Values, request: fastapi.Request) -> Launch:
    """Launch with a form's values as a model."""
    return Launch(request, "json:dumps", inputs={"name": data.name, "twice": data.size * 2})


async def test_a_handler_may_take_a_model() -> None:
    """As the body of a route of plain FastAPI, or of a form's values; what does not fit is told by field."""
    async with calling(modelled) as (client, launches):
        plain = await client.post("/", json={"name": "Ada"})
        form = await client.post("/form", json={"name": "Ada"})
        wrong = await client.post("/form", json={"name": "Ada", "size": 0})

    assert plain.status_code == 200
    assert [json.loads(spec.inputs_json) for spec in launches] == [
        {"name": "Ada", "size": 3},
        {"name": "Ada", "twice": 6},
    ]
    assert "result" in form.json()
    assert list(wrong.json()["errors"]) == ["size", "_global_"]


async def test_a_flow_without_a_summary_is_called_like_its_function() -> None:
    """In the list of flows and in its jobs alike; the schema says what the author said, and no more."""
    async with calling(modelled) as (client, launches):
        await client.post("/form", json={"name": "Ada"})
        schema = (await client.get("/form")).json()

    (spec,) = launches
    listed = {flow.path: flow.summary for flow in flows_of(modelled)}
    assert json.loads(spec.meta_json)["summary"] == listed["/form"] == "Entered With Data"
    assert "summary" not in schema


async def test_a_form_may_come_in_parts() -> None:
    """As browsers send it with a file control; one without a file blocks nothing, one with a file is refused."""
    app = ServeAPI()

    @app.enter("/", model=forms.Model(forms.InputText(name="name"), forms.InputFiles(name="file")))
    async def enter(inputs: dict[str, Any], request: fastapi.Request) -> Launch:
        return Launch(request, "json:dumps", inputs=inputs)

    async with calling(app) as (client, launches):
        empty = await client.post("/", data={"name": "Ada"}, files={"file": ("", b"")})
        full = await client.post("/", data={"name": "Ada"}, files={"file": ("a.txt", b"data")})

    assert "result" in empty.json()
    assert [json.loads(spec.inputs_json) for spec in launches] == [{"name": "Ada", "file": None}]
    assert "send files ahead" in full.json()["errors"]["file"][0]
