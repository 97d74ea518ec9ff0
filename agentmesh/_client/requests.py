"""What requests are made of: full names, and inputs as JSON."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf import json_format, struct_pb2

from agentmesh._client.errors import InvalidInputs

TARGETS = ("agents/", "crews/")


def full_name(name: str, collection: str) -> str:
    """Return the full name of what is in a collection, by that or by its id.  Raises `TypeError`."""
    name = _text(name, collection).strip("/")
    return name if name.startswith(f"{collection}/") else f"{collection}/{name}"


def _text(name: str, collection: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a name is text, such as {collection}/…, not {type(name).__name__}: {name!r:.80}")
    return name


def target_name(target: str) -> str:
    """Return the full name of a target: a flow may be named without `flows/`."""
    return target if _text(target, "flows").startswith(TARGETS) else full_name(target, "flows")


def payment_name(job: str) -> str:
    """Return the name of the payment of a job."""
    return f"payments/{job.strip('/').removeprefix('jobs/').removeprefix('payments/')}"


def states_of(words: Iterable[str]) -> "list[job_pb2.JobState.ValueType]":
    """Return states by the words for them.  Raises `InvalidInputs` for a word that is none."""
    found = []
    for word in (words,) if isinstance(words, str) else words:
        try:
            found.append(job_pb2.JobState.Value(f"JOB_STATE_{word.upper()}"))
        except ValueError:
            known = ", ".join(JOB_STATES)
            raise InvalidInputs(f"there is no state {word!r}: it is one of {known}", code="INVALID_ARGUMENT") from None
    return found


JOB_STATES = tuple(name.removeprefix("JOB_STATE_").lower() for name in job_pb2.JobState.keys()[1:])
"""The words for the states of a job."""


def json_of(inputs: Mapping[str, Any]) -> str:
    """Return inputs as a JSON object.  Raises `InvalidInputs` for what JSON cannot say."""
    _check_inputs(inputs)
    try:
        return json.dumps(dict(inputs), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInputs(f"inputs must be JSON values: {error}", code="INVALID_ARGUMENT") from error


def struct_of(inputs: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return inputs as a message.  Raises `InvalidInputs` for what JSON cannot say."""
    _check_inputs(inputs)
    try:
        return json_format.ParseDict(dict(inputs), struct_pb2.Struct())
    except (ValueError, TypeError, json_format.ParseError) as error:
        raise InvalidInputs(f"inputs must be JSON values: {error}", code="INVALID_ARGUMENT") from error


def _check_inputs(inputs: Mapping[str, Any]) -> None:
    if not isinstance(inputs, Mapping):
        given = type(inputs).__name__
        raise InvalidInputs(f'inputs are a dict, such as {{"name": "Ann"}}, not {given}', code="INVALID_ARGUMENT")
