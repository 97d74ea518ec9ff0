"""What a request to our own API may not be: checked against the contract, without a mesh."""

import json
import re

import pytest

from gateway.edge import contract
from gateway.http.checks import Checks

contract.import_all(contract.descriptors())
SERVICES = contract.services(contract.descriptors())
TYPED = [
    (verb, template, method.name)
    for service in SERVICES
    if service.dialect == contract.TYPED
    for method in service.methods
    for verb, template in method.bindings
]
CHECKS = Checks(SERVICES)


def filled(template: str) -> str:
    """Return a path of a template: `x` for each variable, or what its pattern says."""
    return re.sub(
        r"\{[^}=]*=?([^}]*)\}", lambda found: (found[1] or "*").replace("**", "x").replace("*", "x"), template
    )


@pytest.mark.parametrize(("verb", "template", "method"), TYPED, ids=lambda value: str(value))
def test_no_call_passes_over_a_name(verb: str, template: str, method: str) -> None:
    """Of a body, or of a query where there is none: every call that REST has."""
    body, query = json.dumps({"nobodyKnowsThis": 1}).encode(), "nobodyKnowsThis=1"
    in_body = CHECKS.wrong(verb, filled(template), "", body)
    in_query = CHECKS.wrong(verb, filled(template), query, b"")

    assert "nobodyKnowsThis: there is" in in_body or verb in ("GET", "DELETE", "HEAD"), method
    assert "query parameter nobodyKnowsThis" in in_query, method


@pytest.mark.parametrize(
    "body",
    [
        b'{"target": "flows/x", "inputs": {"any": {"thing": [1, null, {}]}}, "labels": {"a": "b"}}',
        b'{"target": "flows/x", "request_id": "1", "deadlineS": 1.5, "free": true}',
        b'{"target": "flows/x", "deadline_s": "7", "budget": {"costMicros": "5"}, "retries": null}',
        b'{"target": "flows/x", "retries": {"attempts": 3, "on": ["ValueError"]}}',
        b"{}",
    ],
)
def test_what_proto3_allows_passes(body: bytes) -> None:
    """Names in both cases, numbers as text, null for nothing, and whatever an app takes as inputs."""
    assert "" == CHECKS.wrong("POST", "/mesh/v1/jobs", "", body)


def test_a_name_with_colons_is_no_custom_verb() -> None:
    """What a call does is behind the last."""
    query = "offset=3"

    assert "" == CHECKS.wrong("GET", "/mesh/v1/jobs/1/files/a:b.txt:download", query, b"")
    assert "" == CHECKS.wrong("GET", "/mesh/v1/jobs/1/files/a.txt:download", query, b"")


@pytest.mark.parametrize("name", ["\ud800", "é", "x" * 1_000_000])
def test_whatever_a_name_is_the_answer_can_be_sent(name: str) -> None:
    """Short, and text."""
    in_body = CHECKS.wrong("POST", "/mesh/v1/jobs", "", json.dumps({name: 1}).encode())
    below = CHECKS.wrong("POST", "/mesh/v1/jobs", "", json.dumps({"labels": {name: {}}}).encode())
    in_query = CHECKS.wrong("GET", "/mesh/v1/jobs", f"{name[:1000].encode(errors='replace').decode()}=1", b"")

    assert in_body
    assert below
    assert in_query
    assert max(map(len, (in_body, below, in_query))) <= 1000


def test_a_path_that_nobody_has_is_not_judged() -> None:
    """Who answers it says so."""
    assert "" == CHECKS.wrong("POST", "/mesh/v1/nothing", "a=1", b"{")
    assert "" == CHECKS.wrong("PATCH", "/mesh/v1/jobs", "a=1", b"{")
