"""What Sumi's bodies look like, for its reference: the notebook's shapes, and those of the later MIP-003 text."""

from typing import Any, Literal

import pydantic

from gateway.dialects.sumi.answers import LATER
from gateway.dialects.sumi.locks import LockAnswer, ProvidedInput
from gateway.dialects.sumi.services import StartJob, StartJobLater
from gateway.http.shapes import REPEATABLE, Body, Shape, json


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(use_attribute_docstrings=True)


# -- services (MIP-002) ------------------------------------------------------------------------------------------------


class Amount(_Model):
    """So much of one unit."""

    amount: str | None
    unit: str | None


class Price(_Model):
    """What a job costs."""

    pricingType: str
    fixedPricing: list[Amount]


class Author(_Model):
    """Who is behind a service."""

    name: str | None
    contact_email: str | None
    contact_other: str | None
    organization: str | None


class Capability(_Model):
    """What a service can do."""

    name: str | None
    version: str | None


class Legal(_Model):
    """Where a service's terms are."""

    privacy_policy: str | None
    terms: str | None
    other: str | None


class ExampleOutput(_Model):
    """What a result looks like."""

    name: str | None
    mime_type: str | None
    url: str | None


class Item(_Model):
    """A service (MIP-002)."""

    id: str
    """`{expose}`, or `{expose}/{name}`."""
    parent: str
    """The expose."""
    name: str
    """Empty for the root flow of the expose."""
    display: str
    api_url: str
    tags: list[str]
    agentPricing: list[Price]
    metadata_version: int
    description: str | None
    image: str | None
    example_output: list[ExampleOutput] | None
    author: Author | None
    capability: Capability | None
    legal: Legal | None
    network: str | None
    state: Literal["alive", "dead"]


class Items(_Model):
    """A page of services."""

    items: list[Item]
    offset: str | None
    """Pass it for the next page; null on the last."""


class Availability(_Model):
    """Whether a service takes jobs."""

    status: Literal["available", "unavailable"]
    type: Literal["masumi-agent"]
    message: str


# -- forms (MIP-003) ---------------------------------------------------------------------------------------------------


class InputField(_Model):
    """A field of a form."""

    id: str
    type: str
    name: str | None
    data: dict[str, Any] | None
    validations: dict[str, Any] | None
    """Any of `optional`, `min`, `max` and `format`."""


class InputSchema(_Model):
    """A form; without fields it is null."""

    input_data: list[InputField] | None
    input_groups: None


class Validation(_Model):
    """A check of a field."""

    validation: str
    value: str


class InputFieldLater(_Model):
    """A field of a form, as the later text has it."""

    id: str
    type: str
    name: str | None
    data: dict[str, Any] | None
    validations: list[Validation] | None


class InputSchemaLater(_Model):
    """A form, as the later text has it."""

    input_data: list[InputFieldLater] | None


# -- jobs (MIP-003) ----------------------------------------------------------------------------------------------------

_WORD = Literal["running", "awaiting_payment", "awaiting_input", "completed", "failed"]


class AwaitedInput(InputSchema):
    """A question that a job waits on."""

    lock_id: str
    expires_at: float
    """In seconds since 1970."""


class Job(_Model):
    """A job."""

    job_id: str
    status: _WORD
    input_schema: list[AwaitedInput] | None
    """What it asks, while it awaits input."""
    result: dict[str, Any] | None
    """Such as `{"Markdown": {"body": "…"}}`, once completed."""
    error: str | None
    """Once failed."""
    identifier_from_purchaser: str | None
    started_at: float
    """In seconds since 1970."""
    updated_at: float
    runtime: float | None
    """In seconds."""


class NoJob(_Model):
    """There is no job, and why."""

    status: Literal["failed"]
    error: str


class InputGroup(_Model):
    """A question that a job waits on, as the later text has it; its fields' ids are `{lock}:{field}`."""

    id: str
    title: str
    input_data: list[InputFieldLater]


class AwaitedLater(_Model):
    """What a job asks, as the later text has it."""

    input_groups: list[InputGroup]


class JobLater(_Model):
    """A job, as the later text has it; one that is paid for has what the purchaser needs to know, too."""

    job_id: str
    status: _WORD
    input_schema: AwaitedLater | None
    result: str | None
    error: str | None
    identifierFromPurchaser: str | None
    startedAt: float
    updatedAt: float
    runtime: float | None
    input_hash: str | None


class PaidJobLater(JobLater):
    """A job that is paid for; times in milliseconds since 1970, null before the escrow has been made."""

    blockchainIdentifier: str | None
    payByTime: int | None
    submitResultTime: int | None
    unlockTime: int | None
    externalDisputeUnlockTime: int | None
    agentIdentifier: str | None
    sellerVKey: str | None


# -- locks -------------------------------------------------------------------------------------------------------------


class Lock(_Model):
    """A question of a job."""

    job_id: str
    status_id: str
    """The lock's id."""
    status: Literal["pending", "released", "expired"]
    input_schema: InputSchema
    expires_at: float
    prompt: str | None


class LockLater(Lock):
    """A question of a job, as the later text has it."""

    input_schema: InputSchemaLater  # type: ignore[assignment]


class Taken(_Model):
    """An answer was taken."""

    status: Literal["success"]
    input_hash: str


class Refused(_Model):
    """An answer was not taken, and why."""

    status: Literal["error"]
    input_hash: None
    error: str
    errors: dict[str, list[str]]


class Signed(_Model):
    """An answer was taken."""

    input_hash: str
    signature: str
    """The hash again: the mesh does not hold the seller's key."""


_ACCEPT = {"accept": f"`{LATER}` for the shapes of the later MIP-003 text."}
_JOB = {
    "job_id": "69391b2a6dd6594791c3d54e",
    "status": "running",
    "input_schema": None,
    "result": None,
    "error": None,
    "identifier_from_purchaser": "demo-123",
    "started_at": 1765350253.658858,
    "updated_at": 1765350255.214572,
    "runtime": None,
}
_ASKED = {
    "data": {"placeholder": "Say hello..."},
    "id": "greeting",
    "name": "Your Greeting",
    "type": "text",
    "validations": None,
}
_LOCK = {
    "job_id": "69391bdc6dd6594b06ce8ff2",
    "status_id": "129cc7b8-d4ba-4918-a6f0-7465a17701c7",
    "status": "pending",
    "input_schema": {"input_data": [_ASKED], "input_groups": None},
    "expires_at": 1765361265.372782,
    "prompt": "greeting-lock",
}


def _both(model: Any, later: Any, example: Any = None) -> Body:
    return (json(model, example), json(later, media_type=LATER))


_FORM = _both(InputSchema, InputSchemaLater, {"input_data": [_ASKED], "input_groups": None})
SHAPES = {
    "SumiService.ListServices": Shape(answers=(json(Items),)),
    "SumiService.GetService": Shape(answers=(json(Item),)),
    "SumiService.GetAvailability": Shape(
        answers=(
            json(
                Availability,
                {
                    "status": "available",
                    "type": "masumi-agent",
                    "message": "Text Input Types Demo is ready to accept jobs",
                },
            ),
        )
    ),
    "SumiService.GetInputSchema": Shape(answers=_FORM, headers=_ACCEPT),
    "SumiService.StartJob": Shape(
        takes=(
            json(StartJob | StartJobLater, {"identifier_from_purchaser": "demo-123", "input_data": {"start": "0"}}),
        ),
        answers=_both(Job | NoJob, PaidJobLater | JobLater, _JOB),
        headers=REPEATABLE | _ACCEPT,
    ),
    "SumiService.GetJobStatus": Shape(
        # An expose may be called `status`: then its services' metadata, availability and forms are under this path.
        answers=_both(Job | Item | Availability | InputSchema, PaidJobLater | JobLater | InputSchemaLater, _JOB),
        headers=_ACCEPT,
    ),
    "SumiService.GetServiceJobStatus": Shape(answers=_both(Job | Item, PaidJobLater | JobLater, _JOB), headers=_ACCEPT),
    "LockService.GetLock": Shape(
        answers=_both(Lock | Availability | InputSchema, LockLater | InputSchemaLater, _LOCK), headers=_ACCEPT
    ),
    "LockService.AnswerLock": Shape(
        takes=(json(LockAnswer, {"input_data": {"greeting": "Hello from HITL Demo!"}}),),
        answers=_both(Taken | Refused | Job | NoJob | Signed, Signed | PaidJobLater | JobLater),
        headers=REPEATABLE | _ACCEPT,
    ),
    "LockService.ProvideInput": Shape(
        takes=(json(ProvidedInput),), answers=_both(Signed, Signed), headers=REPEATABLE | _ACCEPT
    ),
}

TITLE = "Sumi API"
DESCRIPTION = f"""Flows as Masumi services (MIP-002, MIP-003): what they are, what they take, their jobs, and the
questions that jobs ask.

With `Accept: {LATER}` answers have the shapes of the later MIP-003 text."""
