"""Locks over HTTP, as the panel shows them: real runner, real hosts, the app of `tests/runner/samples/locking.py`."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.gateway.asking import NO_LOCK, Asking
from tests.gateway.stage import UNKNOWN

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORM = [{"type": "markdown", "text": "Dear Ada"}, {"type": "text", "name": "greeting", "label": "Greeting"}]


def shape_of(element: Mapping[str, Any]) -> dict[str, Any]:
    return {key: element[key] for key in ("type", "text", "name", "label") if element.get(key) is not None}


# -- panel -----------------------------------------------------------------------------------------------------------


async def test_a_lock_is_answered_at_the_panel(asking: Asking) -> None:
    """The status awaits with the lock's id, the form is an array, the answer says what the flow got."""
    fid = await asking.launch()
    lid = await asking.lock(fid)

    status = (await asking.call("GET", f"/outputs/status/{fid}")).json()
    (item,) = (await asking.call("GET", "/timeline/list", params={"q": fid})).json()["items"]
    page = await asking.call("GET", f"/outputs/html/{fid}")
    form = await asking.call("GET", f"/lock/{fid}/{lid}")
    answer = await asking.call("POST", f"/lock/{fid}/{lid}", json={"greeting": "hello"})

    assert (status["status"], status["locks"]) == ("awaiting", [lid])
    assert (item["status"], item["locks"]) == ("awaiting", [lid])
    assert f'href="/inputs/lock/{fid}/{lid}"' in page.text
    assert (form.status_code, [shape_of(element) for element in form.json()]) == (200, FORM)
    assert answer.status_code == 200
    assert answer.json() == {"result": {"said": "hello", "to": "Ada"}, "elements": form.json()}
    assert await asking.result(fid) == {"dict": {"said": "hello", "to": "Ada"}}
    assert (await asking.call("GET", f"/outputs/status/{fid}")).json()["locks"] == []


@pytest.mark.parametrize(("greeting", "message"), [("damn", "Be polite."), ("LOUD", "Greeting")])
async def test_what_a_form_refuses_leaves_the_lock_open(asking: Asking, greeting: str, message: str) -> None:
    """Form and lease handler name the field; `_global_` is there; the next answer is taken."""
    fid = await asking.launch()
    lid = await asking.lock(fid)

    refused = await asking.call("POST", f"/lock/{fid}/{lid}", json={"greeting": greeting})
    taken = await asking.call("POST", f"/lock/{fid}/{lid}", json={"greeting": "hello"})

    assert refused.status_code == 200
    assert list(refused.json()) == ["errors", "elements"]
    assert list(refused.json()["errors"]) == ["greeting", "_global_"]
    assert message in refused.json()["errors"]["greeting"][0]
    assert taken.json()["result"] == {"said": "hello", "to": "Ada"}


async def test_an_answer_of_nothing_releases_the_lock(asking: Asking) -> None:
    """A lease handler may give the flow None."""
    fid = await asking.launch()
    lid = await asking.lock(fid)

    answer = await asking.call("POST", f"/lock/{fid}/{lid}", json={"greeting": "nothing"})

    assert answer.json()["result"] is None
    assert await asking.result(fid) == {"TypeError": "None"}


async def test_values_arrive_as_they_were_sent(asking: Asking) -> None:
    """Without a lease handler the flow gets all that was sent: whole numbers stay whole, null stays null."""
    fid = await asking.launch(how="plain")
    lid = await asking.lock(fid)
    sent = {"a": "ü", "whole": 5, "real": 1.5, "list": [1, {"deep": None}], "yes": True}

    answer = await asking.call("POST", f"/lock/{fid}/{lid}", json=sent)

    assert json.dumps(answer.json()["result"], sort_keys=True) == json.dumps(sent, sort_keys=True)
    assert (await asking.result(fid))["dict"]["whole"] == 5


async def test_of_twenty_answers_one_wins(asking: Asking) -> None:
    """The others are told that somebody was faster, whichever API they came by."""
    fid = await asking.start()
    lid = await asking.lock(fid)
    paths = [f"/lock/{fid}/{lid}", f"/sumi/lock/{fid}/{lid}", f"/inputs/lock/{fid}/{lid}"]

    def send(number: int) -> Any:
        word = "a" * (number + 1)
        path = paths[number % 3]
        if path.startswith("/inputs"):
            return asking.call("POST", path, data={"greeting": word}, follow_redirects=False)
        body = {"greeting": word} if number % 3 == 0 else {"input_data": {"greeting": word}}
        return asking.call("POST", path, json=body)

    answers = await asyncio.gather(*(send(number) for number in range(20)))

    won = [number for number, answer in enumerate(answers) if is_success(answer)]
    assert len(won) == 1, [(answer.status_code, answer.text) for answer in answers]
    lost = [answer for number, answer in enumerate(answers) if number not in won]
    assert {answer.status_code for answer in lost} <= {409, 201}
    assert all("was answered already: this answer was not taken" in answer.text for answer in lost)
    assert await asking.result(fid) == {"dict": {"said": "a" * (won[0] + 1), "to": "Ada"}}


def is_success(answer: httpx.Response) -> bool:
    return answer.status_code == 302 or (
        answer.status_code in (200, 201) and ("result" in answer.json() or answer.json().get("status") == "success")
    )


async def test_a_lock_that_is_over_says_why(asking: Asking) -> None:
    """One that was answered, and one that has expired: 404 to look at, 409 to answer, in the panel's envelope."""
    answered = await asking.launch()
    lid = await asking.lock(answered)
    await asking.call("POST", f"/lock/{answered}/{lid}", json={"greeting": "hello"})
    expired = await asking.launch(timeout=0.05)
    late = await asking.lock(expired)
    await asking.result(expired)

    for fid, lock, why in ((answered, lid, "was answered already"), (expired, late, "has expired")):
        path = f"/lock/{fid}/{lock}"
        shown = await asking.call("GET", path)
        sent = await asking.call("POST", path, json={"greeting": "me"})
        assert (shown.status_code, shown.json()["error"]) == (404, "NotFoundException")
        assert shown.json()["detail"] == f"Lock {lock} for {fid} {why}"
        assert sent.status_code == sent.json()["status_code"] == 409
        assert sent.json()["detail"] == f"409: Lock {lock} for {fid} {why}: this answer was not taken"
        page = await asking.call("GET", f"/inputs{path}")
        assert (page.status_code, why in page.text) == (404, True)
        page = await asking.call("POST", f"/inputs{path}", data={"greeting": "me"})
        assert (page.status_code, why in page.text) == (409, True)


async def test_what_there_is_not_is_not_found(asking: Asking) -> None:
    """An unknown execution, an unknown lock and another user's lock are 404 in the panel's words."""
    fid = await asking.launch()
    lid = await asking.lock(fid)
    foreign = await asking.edge.new_user("foreigner")
    for user, path, detail in (
        (asking.edge.operator, f"/lock/{UNKNOWN}/{lid}", f"Execution {UNKNOWN} not found."),
        (asking.edge.operator, f"/lock/nonsense/{lid}", "Execution nonsense not found."),
        (asking.edge.operator, f"/lock/{fid}/{NO_LOCK}", f"Lock {NO_LOCK} for {fid} not found."),
        (asking.edge.operator, f"/lock/{fid}/a%2Fb", f"Lock a/b for {fid} not found."),
        (foreign, f"/lock/{fid}/{lid}", f"Execution {fid} not found."),
    ):
        for method, body in (("GET", None), ("POST", {"greeting": "x"})):
            answer = await asking.edge.http.request(method, path, headers=user, json=body)
            assert (answer.status_code, answer.json()["detail"]) == (404, detail)
    assert (await asking.edge.http.get(f"/lock/{fid}/{lid}")).status_code == 401
    assert (await asking.edge.http.get(f"/inputs/lock/{fid}/{lid}", headers=foreign)).status_code == 404
    assert (await asking.call("GET", f"/lock/{fid}/{lid}")).status_code == 200


async def test_an_owner_answers_and_an_operator_may(asking: Asking) -> None:
    """A user's lock is seen and answered by the user, and by the operator."""
    owner = await asking.edge.new_user("owner")
    for answering in (owner, asking.edge.operator):
        launched = await asking.edge.http.post("/-/asking/", headers=owner, json={})
        fid = launched.json()["result"]
        lid = await asking.lock(fid)
        for user in (owner, asking.edge.operator):
            status = (await asking.edge.http.get(f"/sumi/status/{fid}", headers=user)).json()
            assert [schema["lock_id"] for schema in status["input_schema"]] == [lid]
        answer = await asking.edge.http.post(f"/lock/{fid}/{lid}", headers=answering, json={"greeting": "hello"})
        assert answer.json()["result"]["said"] == "hello"


DEEP: Any = {"greeting": "x"}
for _ in range(40):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"json": ["x"]}, "body"),
        ({"json": None}, "body"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "body"),
        ({"data": {"greeting": "x"}}, "content-type"),
        ({"json": {"n": 2**60}}, "input_data"),
        ({"json": DEEP}, "input_data"),
    ],
)
async def test_a_wrong_body_is_refused(asking: Asking, options: Any, key: str) -> None:
    """What is no form is a 400 that names what to change."""
    fid = await asking.launch()
    lid = await asking.lock(fid)

    answer = await asking.call("POST", f"/lock/{fid}/{lid}", **options)

    assert answer.status_code == 400
    assert f"'key': '{key}'" in answer.json()["detail"]


async def test_the_same_key_again_is_the_same_answer(asking: Asking) -> None:
    """`Idempotency-Key` makes an answer safe to send again; for another one it is refused."""
    fid = await asking.launch()
    lid = await asking.lock(fid)
    headers = {"Idempotency-Key": f"key-{fid}"}
    path = f"/lock/{fid}/{lid}"

    first = await asking.call("POST", path, json={"greeting": "hello"}, headers=headers)
    again = await asking.call("POST", path, json={"greeting": "hello"}, headers=headers)
    other = await asking.call("POST", path, json={"greeting": "other"}, headers=headers)

    assert first.json() == again.json()
    assert first.json()["result"]["said"] == "hello"
    assert other.status_code == 400
    assert "'key': 'Idempotency-Key'" in other.json()["detail"]


# -- page ------------------------------------------------------------------------------------------------------------


async def test_a_lock_has_a_page(asking: Asking) -> None:
    """It shows the form, shows it again with what is wrong, and leads back to the execution."""
    fid = await asking.launch()
    lid = await asking.lock(fid)
    path = f"/inputs/lock/{fid}/{lid}"

    page = await asking.call("GET", path)
    cancelled = await asking.call("POST", path, data={"__cancel__": "__cancel__"}, follow_redirects=False)
    refused = await asking.call("POST", path, data={"greeting": "damn"})
    answered = await asking.call("POST", path, data={"greeting": "hello"}, follow_redirects=False)

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Dear Ada" in page.text
    assert f'action="{path}"' in page.text
    assert (cancelled.status_code, cancelled.headers["location"]) == (302, f"/outputs/html/{fid}")
    assert refused.status_code == 200
    assert "Be polite." in refused.text
    assert 'value="damn"' in refused.text
    assert (answered.status_code, answered.headers["location"]) == (302, f"/outputs/html/{fid}")
    assert await asking.result(fid) == {"dict": {"said": "hello", "to": "Ada"}}
