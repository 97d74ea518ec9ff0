"""The examples as apps: loaded as a host loads them, called as the gateway calls them, run as a job runs them."""

import datetime
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from agentmesh._app.loading import LoadedApp, load
from agentmesh._job.execution import execute
from agentmesh.errors import KodosumiError
from agentmesh.launch import LaunchSpec, launches
from agentmesh.tracer import Tracer

APPS = {
    "form_example": "examples.form_example.app:fast_app",
    "hymn": "examples.hymn.app:fast_app",
    "jkx": "examples.jkx.app:fast_app2",
    "noop": "examples.noop.app:fast_app",
    "paid": "examples.paid.app:fast_app",
    "prime": "examples.prime.app:fast_app",
    "sumi_test": "examples.sumi_test.app:fast_app",
    "throughput": "examples.throughput.app:fast_app",
}
# Source: the seed notebook, "Verify /sumi returns flows after boot", and the panel API document.
SUMMARIES = {
    ("form_example", "/complete-form"): "Complete Registration Form",
    ("form_example", "/datetime-inputs"): "Date/Time Input Types Demo",
    ("form_example", "/numeric-inputs"): "Numeric Input Types Demo",
    ("form_example", "/selection-inputs"): "Selection Input Types Demo",
    ("form_example", "/special-inputs"): "Special Input Types Demo",
    ("form_example", "/text-inputs"): "Text Input Types Demo",
    ("hymn", "/"): "Hymn Creator",
    ("jkx", "/serve"): "jKx Knowledge Graph",
    ("noop", "/"): "Noop",
    ("noop", "/declared"): "Echo",
    ("noop", "/shared"): "Echo (shared)",
    ("paid", "/"): "Telegram Office",
    ("prime", "/"): "Prime Gap Distribution",
    ("prime", "/async"): "Prime Gap Distribution (async)",
    ("sumi_test", "/"): "Masumi Two-Stage Service",
    ("throughput", "/"): "Throughput Test",
}
VALID: dict[tuple[str, str], dict[str, Any]] = {
    ("form_example", "/complete-form"): {
        "full_name": "Ada",
        "email": "ada@example.com",
        "password": "secretpass123",
        "repeat": "secretpass123",
        "terms": "on",
    },
    ("form_example", "/datetime-inputs"): {"date": "2026-01-31"},
    ("form_example", "/text-inputs"): {"username": "Ada", "password": "secretpass123", "email": "ada@example.com"},
    ("paid", "/"): {"text": "SOS"},
    ("sumi_test", "/"): {"name": "Ada", "date": "9999-12-31"},
}


class Caller:
    """Calls the examples, one app at a time."""

    def __init__(self) -> None:
        self.noted: list[LaunchSpec] = []

    async def __call__(self, app: str, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Send a request as the host does, and note what it launches."""
        self.noted = []
        launches.set(self.noted)
        transport = httpx.ASGITransport(app=load(APPS[app]).asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, json=body)


@pytest.fixture
def call() -> Caller:
    """Return a caller."""
    return Caller()


Run = Callable[[LaunchSpec], Any]


async def run(spec: LaunchSpec) -> tuple[Any, list[tuple[str, str]]]:
    """Run a launched job here; return its decoded result and its events."""
    events: list[tuple[str, str]] = []
    tracer = Tracer(spec.job_id, lambda kind, payload: events.append((kind, payload)))
    return json.loads(await execute(spec.entry_point, json.loads(spec.inputs_json), tracer)), events


def test_the_flows_are_those_of_the_documents() -> None:
    """Every flow has the path and the summary that the seeds print; one of ours is declared, in both isolations."""
    loaded: dict[str, LoadedApp] = {name: load(path) for name, path in APPS.items()}
    found = {(name, flow.path): flow.summary for name, app in loaded.items() for flow in app.flows}
    assert found == SUMMARIES


@pytest.mark.parametrize(("app", "path"), list(SUMMARIES))
async def test_every_form_can_be_shown_and_every_flow_ends(call: Caller, app: str, path: str) -> None:
    """The form is shown, takes its defaults or a valid set of values, and the job gives a result."""
    shown = await call(app, "GET", path)
    assert shown.status_code == 200
    assert shown.json()["summary"] == SUMMARIES[app, path]
    answer = await call(app, "POST", path, VALID.get((app, path), {}))
    assert answer.status_code == 200, answer.text
    assert "errors" not in answer.json(), answer.text
    assert answer.json()["result"] == call.noted[0].job_id
    if app == "sumi_test":
        return  # waits for a human
    result, _ = await run(call.noted[0])
    assert result


async def test_prime_meta(call: Caller) -> None:
    """The prime flow says about itself what the seed's meta event says."""
    await call("prime", "POST", "/", {"start": "0", "end": "100000", "tasks": "10"})
    (spec,) = call.noted
    assert json.loads(spec.inputs_json) == {"start": "0", "end": "100000", "tasks": "10"}
    assert json.loads(spec.meta_json) == {
        "tags": ["Test"],
        "summary": "Prime Gap Distribution",
        "description": "This agent creates a prime gap distribution for a given range of numbers.",
        "deprecated": None,
        "author": "author@example.com",
        "organization": "House of Communication",
        "version": "0.1.0",
    }
    result, events = await run(spec)
    assert result["dict"]["2"] == 1224
    assert [kind for kind, _ in events].count("debug") == 11


async def test_both_prime_flows_agree(call: Caller) -> None:
    """Synchronous or not, the numbers are the same."""
    results = []
    for path in ("/", "/async"):
        await call("prime", "POST", path, {"start": "10", "end": "5000", "tasks": "7"})
        results.append((await run(call.noted[0]))[0])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"start": "not-a-number", "end": "also-invalid", "tasks": "abc"}, "start must be a whole number"),
        ({"start": "5", "end": "4", "tasks": "1"}, "0 <= start <= end"),
        ({"start": "-1", "end": "4", "tasks": "1"}, "0 <= start <= end"),
        ({"start": "0", "end": "4", "tasks": "0"}, "tasks must be from 1"),
        ({"start": "0", "end": "999999999999", "tasks": "1"}, "span at most"),
    ],
)
async def test_prime_fails_by_itself(call: Caller, inputs: dict[str, str], words: str) -> None:
    """The form takes anything; the job fails and says what was wrong (seed: "Invalid input")."""
    answer = await call("prime", "POST", "/", inputs)
    assert "result" in answer.json()
    with pytest.raises(KodosumiError, match=words):
        await run(call.noted[0])


@pytest.mark.parametrize(
    ("inputs", "errors"),
    [
        ({}, {"username": "Username is required", "password": "Password is required", "email": "Email is required"}),
        ({"username": "DemoUser"}, {"password": "Password is required", "email": "Email is required"}),
        ({"username": "DemoUser", "password": "secretpass123"}, {"email": "Email is required"}),
    ],
)
async def test_text_inputs_errors(call: Caller, inputs: dict[str, str], errors: dict[str, str]) -> None:
    """What is missing is said in the seed's words and order, and nothing starts."""
    answer = await call("form_example", "POST", "/text-inputs", inputs)
    expected = {**{name: [message] for name, message in errors.items()}, "_global_": []}
    assert answer.status_code == 200
    assert list(answer.json()["errors"].items()) == list(expected.items())
    assert call.noted == []


@pytest.mark.parametrize(
    ("path", "inputs", "field"),
    [
        ("/text-inputs", {**VALID["form_example", "/text-inputs"], "username": "Al"}, "username"),
        ("/text-inputs", {**VALID["form_example", "/text-inputs"], "password": "short"}, "password"),
        ("/text-inputs", {**VALID["form_example", "/text-inputs"], "email": "nowhere"}, "email"),
        ("/numeric-inputs", {"age": "old"}, "age"),
        ("/numeric-inputs", {"age": 7}, "age"),
        ("/datetime-inputs", {"date": "tomorrow"}, "date"),
        ("/selection-inputs", {"size": "enormous"}, "size"),
        ("/special-inputs", {"color": "blue"}, "color"),
        ("/complete-form", {**VALID["form_example", "/complete-form"], "repeat": "another1"}, "repeat"),
        ("/complete-form", {**VALID["form_example", "/complete-form"], "terms": None}, "terms"),
    ],
)
async def test_form_errors(call: Caller, path: str, inputs: dict[str, Any], field: str) -> None:
    """A wrong value is named by its field, and nothing starts."""
    answer = await call("form_example", "POST", path, inputs)
    assert answer.status_code == 200
    assert list(answer.json()["errors"]) == [field, "_global_"]
    assert call.noted == []


async def test_passwords_stay_with_the_handler(call: Caller) -> None:
    """A job's inputs are kept in its log, so a password does not get there."""
    await call("form_example", "POST", "/text-inputs", VALID["form_example", "/text-inputs"])
    (spec,) = call.noted
    assert "secretpass123" not in spec.inputs_json
    result, _ = await run(spec)
    assert "| username | Ada |" in result["Markdown"]["body"]


@pytest.mark.parametrize("date", ["", "soon", "today", "2020-02-30", "2020-01-01"])
async def test_sumi_test_wants_a_date_in_the_future(call: Caller, date: str) -> None:
    """Today is not the future, and what is no date is refused."""
    date = datetime.date.today().isoformat() if date == "today" else date
    answer = await call("sumi_test", "POST", "/", {"date": date})
    assert list(answer.json()["errors"]) == ["date", "_global_"]
    assert call.noted == []


async def test_sumi_test_offers_no_date_before_tomorrow(call: Caller) -> None:
    """The earliest date of the form is tomorrow, whenever it is shown."""
    before = datetime.date.today()
    elements = (await call("sumi_test", "GET", "/")).json()["elements"]
    (earliest,) = [element["min_date"] for element in elements if element["type"] == "date"]
    days = [day + datetime.timedelta(days=1) for day in (before, datetime.date.today())]  # midnight may have passed
    assert earliest in [day.isoformat() for day in days]


async def test_paid_encodes(call: Caller) -> None:
    """Letters are parted by blanks, words by slashes; what has no code is refused before anybody pays."""
    await call("paid", "POST", "/", {"text": "sos Ada"})
    result, _ = await run(call.noted[0])
    assert result == {"Markdown": {"body": "`... --- ... / .- -.. .-`"}}
    answer = await call("paid", "POST", "/", {"text": "Grüße!"})
    assert answer.json()["errors"] == {"text": ["There is no Morse code for ! Ü"], "_global_": []}
    assert call.noted == []


async def test_hymn_events(call: Caller) -> None:
    """A crew announces its agents and tasks, then tells each step and each task's result."""
    await call("hymn", "POST", "/", {"topic": "Ich wollte ich wäre ein Huhn."})
    (spec,) = call.noted
    assert spec.entry_point == "examples.hymn.app:crew"
    result, events = await run(spec)
    assert [kind for kind, _ in events] == ["agent"] * 4 + ["action", "result"] * 2
    assert result["CrewOutput"]["raw"].startswith('**Hymn Title: "')
    again, _ = await run(spec)
    assert again == result


async def test_hymn_without_a_topic(call: Caller) -> None:
    """The panel API document's example of an error."""
    answer = await call("hymn", "POST", "/", {"topic": ""})
    assert answer.json()["errors"] == {"topic": ["Please give me a topic."], "_global_": []}


async def test_jkx_wraps_every_sort_of_value(call: Caller) -> None:
    """Models, lists, numbers and texts come out under the name of their type."""
    await call("jkx", "POST", "/serve", {"text": "Ada knows Bob. What?"})
    result, events = await run(call.noted[0])
    assert set(result) == {"KnowledgeGraph"}
    assert result["KnowledgeGraph"]["skipped"] == ["What?"]
    results = [json.loads(payload) for kind, payload in events if kind == "result"]
    assert [next(iter(value)) for value in results] == ["Node", "Node", "dict", "int", "__list__", "Markdown"]


async def test_throughput_counts(call: Caller) -> None:
    """Each event has its number and its time; the rate is kept."""
    await call("throughput", "POST", "/", {"events": 20, "rate": 200})
    result, events = await run(call.noted[0])
    payloads = [json.loads(payload)["dict"] for kind, payload in events if kind == "result"]
    assert [payload["seq"] for payload in payloads] == list(range(1, 21))
    assert all(isinstance(payload["time"], float) for payload in payloads)
    assert result["dict"]["seconds"] > 0.09


@pytest.mark.parametrize("inputs", [{"events": "many"}, {"events": -1}, {"rate": 1e9}, {"size": "x"}])
async def test_throughput_refuses_nonsense(call: Caller, inputs: dict[str, Any]) -> None:
    """What is no number, or too much, is refused by its field."""
    answer = await call("throughput", "POST", "/", inputs)
    assert list(answer.json()["errors"]) == [*inputs, "_global_"]
