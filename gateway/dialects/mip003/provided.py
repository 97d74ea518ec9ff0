"""What a buyer answers to what a job asks: which values are for which lock."""

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
from agentmesh_protos.runner.v1 import job_pb2, lock_pb2

from gateway.core import locks
from gateway.core.mip003.schema import by_name
from gateway.dialects.mip003 import views
from meshkit.errors import FailedPrecondition, Invalid

Values = Mapping[str, Any]


class ProvidedInput(pydantic.BaseModel):
    """The body of `provide_input`: `input_data`, or `input_groups` by the ids of the groups."""

    job_id: str = pydantic.Field(max_length=100)
    status_id: str = pydantic.Field(max_length=100)
    input_data: dict[str, Any] | None = None
    input_groups: dict[str, dict[str, Any]] | None = None

    @property
    def sent(self) -> Values:
        """What its hash is of.  Raises `Invalid` for neither, or both."""
        if self.input_data is not None and self.input_groups is None:
            return self.input_data
        if self.input_groups is not None and self.input_data is None:
            return self.input_groups
        raise Invalid("request is not valid", {"input_data": ["send either input_data or input_groups"]})


def answers(
    job: job_pb2.Job, waiting: Sequence[lock_pb2.Lock], named: Mapping[str, lock_pb2.Lock], body: ProvidedInput
) -> list[tuple[lock_pb2.Lock, dict[str, Any]]]:
    """Return which lock gets which values, options by name.

    `waiting` are the locks that the job waits on, and `named` those of its locks that the body names, by id, whatever
    their state.  Raises `FailedPrecondition` if the job does not ask what `status_id` says, and `Invalid` for values
    that belong to no lock.
    """
    asked = {locks.id_of(lock): lock for lock in waiting} | dict(named)
    if body.status_id not in {views.status_id(job, waiting), *asked}:
        raise FailedPrecondition("the job does not ask this any more: look at its status")
    if not asked:
        raise FailedPrecondition("the job does not await input: look at its status")
    usual = body.status_id if body.status_id in asked else next(iter(asked)) if len(asked) == 1 else ""
    grouped = _split(body.sent, usual, asked) if body.input_groups is None else body.input_groups
    if strangers := [group for group in grouped if group not in asked]:
        problem = "is nothing that the job asks: send its group in input_groups, or '{group}:{field}'"
        raise Invalid("request is not valid", {group or "input_data": [problem] for group in strangers})
    return [(asked[group], by_name(locks.elements_of(asked[group]), values)) for group, values in grouped.items()]


def _split(data: Values, usual: str, asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return flat values by lock: `{lock}:{field}` says which, others are for the one that is asked."""
    split: dict[str, dict[str, Any]] = {} if data else {usual: {}}
    for key, value in data.items():
        group, colon, field = key.partition(":")
        if not colon or group not in asked:
            group, field = usual, key
        split.setdefault(group, {})[field] = value
    return split


def as_sent(error: Invalid, body: ProvidedInput) -> Invalid:
    """Return the error with its fields, `{lock}:{field}`, named as the client did."""
    sent = body.input_data or {}
    fields = {key if key in sent else key.partition(":")[2] or key: texts for key, texts in error.fields.items()}
    return Invalid(str(error), fields if body.input_groups is None else error.fields, **error.metadata)
