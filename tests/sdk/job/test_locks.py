"""What an app does for its locks: makes the form, takes the answer."""

import concurrent.futures
from typing import Any

import pytest
from starlette.requests import Request

from agentmesh import InputsError, KodosumiError, ServeAPI, Tracer, locks
from agentmesh import forms as F  # noqa: N812
from agentmesh.locks import LockExpired, Question

app = ServeAPI()


@app.lock("approve")
def form(data: dict[str, Any]) -> F.Model:
    """Ask whether something may be done."""
    return F.Model(F.Markdown(f"May I {data['what']}?"), F.InputText(name="word", label="Word", required=True))


@app.lease("approve")
async def lease(inputs: dict[str, Any], data: dict[str, Any]) -> str:
    """Take only yes."""
    if inputs["word"] == "boom":
        raise RuntimeError("broken at /home/somebody/app.py")
    if inputs["word"] != "yes":
        raise InputsError(word="Say yes.")
    return f"{data['what']}: {inputs['word']}"


@app.lock("broken")
def broken() -> str:
    """Make no form."""
    return "no form"


async def asked(name: str, timeout: float | None = None, data: dict[str, Any] | None = None) -> Question:
    """Ask through a tracer that answers at once; return the question."""
    questions: list[Question] = []

    def ask(question: Question) -> "concurrent.futures.Future[Any]":
        questions.append(question)
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_result("answered")
        return future

    tracer = Tracer("f1", lambda kind, payload: None, app=app, ask=ask)
    assert "answered" == await tracer.lock(name, data or {"what": "go"}, timeout)
    return questions[0]


async def answer(name: str, inputs: Any) -> locks.Checked:
    """Answer as a host does."""
    request = Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []})
    return await locks.check(app, name, inputs, {"what": "go"}, request)


async def test_a_question_carries_its_form() -> None:
    """The app's handler makes it of the data; the timeout goes along."""
    question = await asked("approve", timeout=5)

    assert ("approve", {"what": "go"}, 5) == (question.title, question.data, question.timeout_s)
    assert ["markdown", "text"] == [element["type"] for element in question.elements]
    assert "May I go?" == question.elements[0]["text"]


@pytest.mark.parametrize(
    ("name", "timeout", "why"),
    [
        ("nothing", None, "declare it with @app.lock"),
        ("broken", None, "must return a forms.Model"),
        ("approve", -1.0, "timeout must be a positive number"),
        ("approve", float("inf"), "timeout must be a positive number"),
    ],
)
async def test_a_question_that_cannot_be_asked_says_why(name: str, timeout: float | None, why: str) -> None:
    """In words that the owner of the job sees."""
    with pytest.raises(KodosumiError, match=why):
        await asked(name, timeout)


async def test_an_answer_is_leased() -> None:
    """What the lease handler returns is the result."""
    assert locks.Checked(result="go: yes") == await answer("approve", {"word": "yes"})


@pytest.mark.parametrize(
    ("inputs", "errors"),
    [
        ({"word": "no"}, {"word": ["Say yes."], "_global_": []}),
        ({}, {"word": ["Say yes."], "_global_": []}),
    ],
)
async def test_a_refused_answer_says_why_by_field(inputs: dict[str, Any], errors: dict[str, Any]) -> None:
    """The author's words win over the form's."""
    assert locks.Checked(errors=errors) == await answer("approve", inputs)


async def test_a_lease_that_breaks_shows_no_path() -> None:
    """Type and text of the exception, without where it was."""
    checked = await answer("approve", {"word": "boom"})

    assert checked.failed
    assert "RuntimeError" in checked.detail
    assert "/home" not in checked.detail


async def test_an_answer_to_an_unknown_lock_is_not_found() -> None:
    """The app may have been changed since the question."""
    checked = await answer("gone", {})

    assert not checked.failed
    assert "'gone'" in checked.detail


def test_an_expired_lock_is_a_timeout() -> None:
    """As kodosumi's flows expect."""
    assert issubclass(LockExpired, TimeoutError)
