"""One's password, changed on the panel."""

import asyncio

import pytest

from tests.gateway.stack import DEADLINE_S, Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_who_changes_their_password_stays_signed_in(edge: Edge) -> None:
    """With a new cookie; the one before works no more, nor does any other sign-in."""
    before, other = await edge.new_user("hanna"), await edge.sign_in("hanna", "secret-secret")
    form = {"old_password": "secret-secret", "new_password": "frequency-hop-42", "again": "frequency-hop-42"}
    answer = await edge.http.post("/panel/access/password", data=form, headers={**before, "user-agent": "Lynx/2.9"})
    edge.http.cookies.clear()
    cookie = answer.headers["set-cookie"].partition(";")[0]

    assert (303, "/panel/access/password?changed") == (answer.status_code, answer.headers["location"])
    page = await edge.http.get(answer.headers["location"], headers={"cookie": cookie})
    assert 200 == page.status_code
    assert "It is changed." in page.text
    page = await edge.http.get("/panel/access/sessions", headers={"cookie": cookie})
    assert (200, 1) == (page.status_code, page.text.count(">This one<"))
    listed = await edge.http.get("/mesh/v1/sessions", headers={"KODOSUMI_API_KEY": cookie.partition("=")[2]})
    assert ["Lynx/2.9"] == [each["client"] for each in listed.json()["sessions"]]
    async with asyncio.timeout(DEADLINE_S):
        for token in (before, other):
            while 401 != (await edge.http.get("/mesh/v1/self", headers=token)).status_code:
                pass
