"""Launches: entry points and inputs that reach another process."""

import datetime
import functools
import json
import pickle
import threading
from typing import Any

import pytest
from starlette.requests import Request

from agentmesh import Launch, launch
from agentmesh._app import entry
from tests.sdk import crews, flows


def request() -> Request:
    """A request as simple as they come."""
    return Request({"type": "http", "method": "POST", "path": "/x", "headers": []})


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("pkg.mod:func", "pkg.mod:func"),
        ("pkg.mod.func", "pkg.mod:func"),
        (" pkg.mod:Class.method ", "pkg.mod:Class.method"),
        (flows.run, "tests.sdk.flows:run"),
        (flows.Callable.method, "tests.sdk.flows:Callable.method"),
        (flows.instance, "tests.sdk.flows:instance"),
        (crews.crew, "tests.sdk.crews:crew"),
        (crews.Team, "tests.sdk.crews:Team"),
    ],
)
def test_entry_points_have_names(target: Any, name: str) -> None:
    """Text is brought into one form; an object is named by where another process finds it."""
    assert name == entry.name_of(target)


def test_a_name_leads_back() -> None:
    """What a name was made from is what it finds."""
    for target in (flows.run, flows.Callable.method, flows.instance, crews.crew):
        assert target is entry.resolve(entry.name_of(target))


@pytest.mark.parametrize("name", ["", "func", "pkg.mod:", ":func", "pkg mod:func", "pkg.mod:func()", "a:b:c"])
def test_malformed_names_are_refused(name: str) -> None:
    """The message shows the form."""
    with pytest.raises(ValueError, match=r"package\.module:function"):
        entry.normalise(name)


def test_what_cannot_be_found_again_is_refused() -> None:
    """Each message names the remedy."""

    def inner() -> None:
        """Live in a test."""

    with pytest.raises(ValueError, match="not a lambda"):
        entry.name_of(lambda: None)
    with pytest.raises(ValueError, match="move it out of the function"):
        entry.name_of(inner)
    with pytest.raises(ValueError, match="give the function itself"):
        entry.name_of(functools.partial(flows.run, {}))
    with pytest.raises(ValueError, match="assign it to a name at the top of a module"):
        entry.name_of(crews.Crew())


def test_a_missing_function_is_named() -> None:
    """So that a job's failure says what to mend."""
    with pytest.raises(AttributeError, match=r"tests\.sdk\.flows has no 'walk'"):
        entry.resolve("tests.sdk.flows:walk")
    with pytest.raises(ModuleNotFoundError):
        entry.resolve("tests.sdk.nowhere:walk")


def test_plain_inputs_travel_as_json() -> None:
    """No pickle where none is needed."""
    inputs = {"a": [1, 2.5, "x", None, True, {"b": []}], "ü": "€"}

    text, blob = launch.pack_inputs(inputs)

    assert (inputs, b"") == (json.loads(text), blob)


@pytest.mark.parametrize(
    "inputs",
    [
        {"files": {"a.txt", "b.txt"}},
        {"day": datetime.date(2025, 1, 2)},
        {1: "one"},
        {"pair": (1, 2)},
        {"x": float("inf")},
        {"raw": b"\xff"},
    ],
    ids=["set", "date", "key", "tuple", "inf", "bytes"],
)
def test_what_json_would_lose_travels_pickled(inputs: dict[Any, Any]) -> None:
    """The job gets what the handler gave; the JSON beside it is for people."""
    text, blob = launch.pack_inputs(inputs)

    assert inputs == pickle.loads(blob)
    assert isinstance(json.loads(text), dict)


def test_inputs_that_cannot_travel_are_refused() -> None:
    """The message names the culprit."""
    with pytest.raises(ValueError, match=r"inputs\['lock'\] cannot be sent"):
        launch.pack_inputs({"ok": 1, "lock": threading.Lock()})
    with pytest.raises(ValueError, match="inputs must be a dict, got list"):
        launch.pack_inputs([1])
    with pytest.raises(ValueError, match="at most 8388608 can be sent"):
        launch.pack_inputs({"text": "x" * launch.INPUTS_BYTES_MAX})


def test_a_launch_outside_of_a_host_starts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An author who runs the app by hand gets an id, and a line that says so."""
    response = Launch(request(), flows.run, inputs={"a": 1})

    assert {"fid": response.fid} == json.loads(bytes(response.body))
    assert "is not started" in caplog.text
    assert "/x" == response.spec.path
    assert dict.fromkeys(launch.META_KEYS) == json.loads(response.spec.meta_json)
