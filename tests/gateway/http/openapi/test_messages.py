"""Messages as JSON Schema, held to the JSON that protobuf makes of them."""

import json
from typing import Any

import jsonschema_rs
import pytest
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf import descriptor_pb2, json_format

from gateway.edge import contract
from gateway.http.openapi.messages import Contract, Messages

CONTRACT = Contract(descriptor_pb2.FileDescriptorSet.FromString(contract.descriptors()).file)


def made(full_name: str, *, answer: bool, camel: bool = True) -> dict[str, Any]:
    """Return the schema of a message, with everything it refers to within."""
    schemas: dict[str, Any] = {}
    messages = Messages(CONTRACT, camel=camel, values={}, add=schemas.__setitem__)
    schema = {**messages.ref(full_name, answer=answer), "$defs": schemas}
    found: dict[str, Any] = json.loads(json.dumps(schema).replace("#/components/schemas/", "#/$defs/"))
    return found


def test_an_answer_has_every_field_that_has_no_presence() -> None:
    """As Envoy prints them; what may be missing is not required."""
    job = made("mesh.runner.v1.Job", answer=True)["$defs"]["Job"]
    printed = json.loads(json_format.MessageToJson(job_pb2.Job(), always_print_fields_with_no_presence=True))

    assert set(printed) == set(job["required"])
    assert {"createTime", "usage", "progress"}.isdisjoint(job["required"])


def test_a_request_may_leave_out_anything() -> None:
    """And send numbers of 64 bits as numbers."""
    schema = made("mesh.runner.v1.WatchJobRequest", answer=False)
    validator = jsonschema_rs.Draft202012Validator(schema)

    assert validator.is_valid({})
    assert validator.is_valid({"afterSeq": 3})
    assert validator.is_valid({"afterSeq": "3"})
    assert not validator.is_valid({"afterSeq": True})


@pytest.mark.parametrize("camel", [True, False])
def test_names_are_in_the_case_of_the_dialect(camel: bool) -> None:
    """One or the other."""
    user = made("mesh.auth.v1.User", answer=True, camel=camel)["$defs"]["User"]

    assert ("createTime" in user["properties"]) is camel
    assert ("create_time" in user["properties"]) is not camel


def test_what_protobuf_prints_is_valid() -> None:
    """Times, enums, maps, bytes and messages within."""
    job = job_pb2.Job(name="jobs/1", state=job_pb2.JOB_STATE_RUNNING, last_seq=2**40, labels={"a": "b"})
    job.create_time.GetCurrentTime()
    job.usage.input_tokens = 3
    printed = json.loads(json_format.MessageToJson(job, always_print_fields_with_no_presence=True))
    schema = made("mesh.runner.v1.Job", answer=True)

    assert [] == list(jsonschema_rs.Draft202012Validator(schema, validate_formats=True).iter_errors(printed))


def test_the_words_are_those_of_the_contract() -> None:
    """Of messages, fields and values of enums."""
    defs = made("mesh.auth.v1.User", answer=True)["$defs"]

    assert "Somebody who may sign in." == defs["User"]["description"]
    assert "Unique e-mail address." == defs["User"]["properties"]["email"]["description"]
    assert "Paying." == defs["Tier"]["x-enum-descriptions"]["TIER_PRO"]
    assert auth_pb2.Tier.keys() == defs["Tier"]["enum"]


def test_two_messages_have_no_name_in_common() -> None:
    """One would hide the other."""
    messages = Messages(CONTRACT, camel=True, values={}, add=lambda name, schema: None)
    messages.ref("mesh.runner.v1.Lock", answer=True)

    with pytest.raises(ValueError, match="have one name"):
        messages.ref("mesh.dialects.kodosumi.v1.Lock", answer=True)


def test_what_is_never_shown_is_in_no_answer() -> None:
    """The contract's comment says `Write-only`."""
    answer = made("mesh.auth.v1.User", answer=True)["$defs"]["User"]
    request = made("mesh.auth.v1.User", answer=False)["$defs"]["UserInput"]

    assert "password" not in answer["properties"]
    assert request["properties"]["password"]["writeOnly"] is True
