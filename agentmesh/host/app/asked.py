"""What a host may ask an app's handler process: an HTTP request, inputs for a form, an answer to a lock."""

import dataclasses
from collections.abc import Callable
from typing import Any

from agentmesh_protos.runner.v1 import host_pb2
from google.protobuf.message import Message

from agentmesh.host.talk.frames import Kind


@dataclasses.dataclass(frozen=True, slots=True)
class Sort:
    """One sort of question, and the answer that belongs to it."""

    question: type[Any]
    """Its message has a `timeout_s`."""
    answer: type[Any]
    number: str
    """The field of both messages that says which question is answered."""
    field: str
    """Of `HostMessage`, for the answer."""
    answer_kind: Kind
    """Of the answer's frame."""
    failed: Callable[[int, str, bool], Message]
    """Makes the answer that says why there is none, and whether the app took too long."""

    def number_of(self, message: Message) -> int:
        """Return which question a question or an answer of this sort is about."""
        number: int = getattr(message, self.number)
        return number

    def renumber(self, message: Message, number: int) -> None:
        """Set which question a question or an answer of this sort is about."""
        setattr(message, self.number, number)


SORTS = {
    Kind.CALL: Sort(
        question=host_pb2.Call,
        answer=host_pb2.CallResult,
        number="call_id",
        field="call_result",
        answer_kind=Kind.CALL_RESULT,
        failed=lambda number, why, late: host_pb2.CallResult(call_id=number, error=why, timed_out=late),
    ),
    Kind.ASK: Sort(
        question=host_pb2.Ask,
        answer=host_pb2.AskResult,
        number="ask_id",
        field="ask_result",
        answer_kind=Kind.ASK_RESULT,
        failed=lambda number, why, late: host_pb2.AskResult(ask_id=number, detail=why, timed_out=late),
    ),
    Kind.CHECK_LOCK: Sort(
        question=host_pb2.CheckLock,
        answer=host_pb2.LockCheck,
        number="check_id",
        field="lock_check",
        answer_kind=Kind.LOCK_CHECK,
        failed=lambda number, why, late: host_pb2.LockCheck(check_id=number, detail=why, failed=True, timed_out=late),
    ),
}
"""By the kind of the question's frame."""

SORT_OF_ANSWER: dict[int, Sort] = {sort.answer_kind: sort for sort in SORTS.values()}
"""By the kind of the answer's frame."""


def no_answer_within(timeout_s: float) -> str:
    """Say that the app took too long."""
    return f"no answer within {timeout_s:g} s"
