"""What the bodies of an agentic service look like, for its reference: as the text of MIP-003 has them."""

from typing import Any, Literal

import pydantic

from gateway.dialects.mip003.agent import StartJob
from gateway.dialects.mip003.provided import ProvidedInput
from gateway.http.shapes import REPEATABLE, Reference, Shape, json

_LOCK = "129cc7b8-d4ba-4918-a6f0-7465a17701c7"
_JOB = "69391bdc6dd6594b06ce8ff2"
_FIELD = {"id": "greeting", "type": "text", "name": "Your Greeting", "data": {"placeholder": "Say hello..."}}


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(use_attribute_docstrings=True)


class Availability(_Model):
    """Whether a service takes jobs."""

    status: Literal["available", "unavailable"]
    type: Literal["masumi-agent"]
    message: str


class Validation(_Model):
    """A check of a field."""

    validation: str
    value: str


class InputField(_Model):
    """A field of a form; what has no value is left out."""

    id: str
    type: str
    name: str = ""
    data: dict[str, Any] = {}
    validations: list[Validation] = []


class InputSchema(_Model):
    """A form."""

    input_data: list[InputField]


class InputGroup(InputSchema):
    """One of several things that a job asks at once."""

    id: str
    title: str


class InputGroups(_Model):
    """Several things that a job asks at once."""

    input_groups: list[InputGroup]


class Started(_Model):
    """A job was started."""

    id: str
    job_id: str
    status: Literal["success"]
    identifierFromPurchaser: str = ""
    """As it was sent; left out if none was."""
    input_hash: str
    """SHA-256 of `{identifier};{input_data as RFC 8785 JSON}` (MIP-004)."""


class StartedPaid(Started):
    """A job was started that waits until it is paid for; times in milliseconds since 1970."""

    blockchainIdentifier: str
    payByTime: int
    submitResultTime: int
    unlockTime: int
    externalDisputeUnlockTime: int
    agentIdentifier: str
    sellerVKey: str


class Status(_Model):
    """Where a job stands."""

    id: str
    """What `provide_input` takes as `status_id`."""
    job_id: str
    status: Literal["awaiting_payment", "awaiting_input", "running", "completed", "failed"]
    input_schema: InputSchema | InputGroups = InputSchema(input_data=[])
    """What it asks; only while it awaits input."""
    result: str = ""
    """Only once completed."""
    error: str = ""
    """Only once failed."""


class Taken(_Model):
    """An answer was taken."""

    status: Literal["success"]
    input_hash: str
    """SHA-256 of `{identifier};{what was sent as RFC 8785 JSON}` (MIP-004)."""
    signature: str
    """The hash again: the mesh does not hold the seller's key."""


class Output(_Model):
    """What a result looks like."""

    result: str


class Demo(_Model):
    """An example."""

    input: dict[str, Any]
    output: Output


class Problem(_Model):
    """What went wrong."""

    detail: str
    field_errors: dict[str, list[str]] = {}
    """By field, what is wrong with it and what to send instead; left out if no field is."""


_SHAPES = {
    "AgentService.GetAvailability": Shape(
        answers=(json(Availability, {"status": "available", "type": "masumi-agent", "message": "Ready"}),)
    ),
    "AgentService.GetInputSchema": Shape(answers=(json(InputSchema, {"input_data": [_FIELD]}),)),
    "AgentService.StartJob": Shape(
        takes=(
            json(
                StartJob,
                {"identifier_from_purchaser": "0123456789abcdef0123", "input_data": {"greeting": "Hello"}},
            ),
        ),
        answers=(json(StartedPaid | Started),),
        headers=REPEATABLE,
    ),
    "AgentService.GetStatus": Shape(
        answers=(
            json(
                Status,
                {"id": _LOCK, "job_id": _JOB, "status": "awaiting_input", "input_schema": {"input_data": [_FIELD]}},
            ),
        )
    ),
    "AgentService.ProvideInput": Shape(
        takes=(json(ProvidedInput, {"job_id": _JOB, "status_id": _LOCK, "input_data": {"greeting": "Hello"}}),),
        answers=(json(Taken),),
        headers=REPEATABLE,
    ),
    "AgentService.GetDemo": Shape(answers=(json(Demo),)),
}

REFERENCE = Reference(
    title="MIP-003",
    description="""Flows as agentic services, as the text of MIP-003 has them: no login is needed for a flow that is
public, `Accept` does not matter, and everything is below one base URL for each flow.

Whoever knows the id of a job may read it and answer what it asks; ids cannot be guessed.""",
    error=Problem,
    shapes=_SHAPES,
)
