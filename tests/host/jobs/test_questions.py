"""Questions of one job, and those of its attempts before."""

import json
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import host_pb2

from agentmesh._job.redaction import Redactor
from agentmesh.host.jobs.questions import Questions
from agentmesh.locks import LockExpired, Question


def question(title: str = "go", **data: Any) -> Question:
    """Return a question."""
    return Question(title=title, elements=[], data=data, timeout_s=0.0)


def asked(lock_id: str, answer: Any = None, *, expired: bool = False, title: str = "go", **data: Any) -> Any:
    """Return a question of an attempt before."""
    return host_pb2.AskedLock(
        lock_id=lock_id,
        title=title,
        data_json=json.dumps(data, separators=(",", ":")),
        result_json="" if answer is None else json.dumps(answer),
        expired=expired,
    )


class Sent(list[host_pb2.OpenLock]):
    """What was sent to the host."""

    def __call__(self, opening: bytes) -> None:
        self.append(host_pb2.OpenLock.FromString(opening))


def test_an_answer_is_given_again() -> None:
    """In order, to who asks the same; nobody is asked."""
    sent = Sent()
    questions = Questions(sent, asked=[asked("1", "first"), asked("2", "second"), asked("3", "other", n=1)])

    assert "other" == questions.ask(question(n=1)).result(0)
    assert "first" == questions.ask(question()).result(0)
    assert "second" == questions.ask(question()).result(0)
    assert [] == sent


def test_a_question_that_had_a_secret_is_the_same() -> None:
    """It was kept without, and is compared and sent without."""
    sent = Sent()
    redactor = Redactor(["sk-canary"])
    questions = Questions(sent, asked=[asked("1", "yes", title="use [REDACTED]", key="[REDACTED]")], redactor=redactor)

    assert "yes" == questions.ask(question("use sk-canary", key="sk-canary")).result(0)
    assert not questions.ask(question("use sk-canary", key="sk-canary")).done()
    assert ["use [REDACTED]", '{"key":"[REDACTED]"}'] == [sent[0].title, sent[0].data_json]


def test_another_question_is_asked() -> None:
    """An answer counts for what was asked, not for what is asked now."""
    sent = Sent()
    questions = Questions(sent, asked=[asked("1", "yes", draft="a")])

    assert not questions.ask(question(draft="b")).done()
    assert not questions.ask(question("stop", draft="a")).done()
    assert [False, False] == [opening.again for opening in sent]
    assert "1" not in [opening.lock_id for opening in sent]


def test_a_lock_that_is_open_is_waited_on_again() -> None:
    """Under its id, so that the answer finds it."""
    sent = Sent()
    questions = Questions(sent, asked=[asked("1")])
    waiting = questions.ask(question())
    questions.end(host_pb2.LockEnd(lock_id="1", result_json='"yes"'))

    assert [("1", True)] == [(opening.lock_id, opening.again) for opening in sent]
    assert "yes" == waiting.result(0)


def test_an_end_may_come_ahead_of_the_question() -> None:
    """The lock was answered while the job was on its way to ask again."""
    questions = Questions(Sent(), asked=[asked("1"), asked("2", title="late")])
    questions.end(host_pb2.LockEnd(lock_id="1", result_json='"yes"'))
    questions.end(host_pb2.LockEnd(lock_id="2", expired=True))

    assert "yes" == questions.ask(question()).result(0)
    with pytest.raises(LockExpired):
        questions.ask(question("late")).result(0)


def test_what_expired_expires_again() -> None:
    """The flow takes the same way as before."""
    questions = Questions(Sent(), asked=[asked("1", expired=True)])

    with pytest.raises(LockExpired, match="nobody answered lock 'go' in time"):
        questions.ask(question()).result(0)
