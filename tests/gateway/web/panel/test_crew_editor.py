"""Definitions on forms, as a browser without script sends them back."""

import html.parser
from typing import Any

import pytest

from tests.gateway.stack import Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")


class _Forms(html.parser.HTMLParser):
    """What a browser would send of each form, by its action."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sent: dict[str, dict[str, str]] = {}
        self._form: dict[str, str] = {}
        self._text = ""
        self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a field; of boxes those that are ticked, of options the one that is selected or else the first."""
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self._form = self.sent.setdefault(given.get("action", ""), {})
        elif tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self._form[name] = given.get("value", "")
        elif tag == "textarea":
            self._text, self._form[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self._form):
            self._form[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Note that a field of several lines is over."""
        if tag in ("textarea", "select"):
            self._text = self._select = ""

    def handle_data(self, data: str) -> None:
        """Note what is written in a field of several lines."""
        if self._text:
            self._form[self._text] += data


class _People:
    """Somebody with a crew, and the operator, on the panel and by REST."""

    def __init__(self, edge: Edge, owner: dict[str, str]) -> None:
        self._edge = edge
        self.owner = owner

    async def made(self, collection: str, **fields: Any) -> str:
        """Make something of the owner's; return its name."""
        body = {"crew": fields} if collection == "crews" else fields  # a crew comes with its tasks, if one will
        answer = await self._edge.http.post(f"/mesh/v1/{collection}", json=body, headers=self.owner)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["name"])

    async def delete(self, name: str) -> None:
        """Archive something of the owner's."""
        answer = await self._edge.http.delete(f"/mesh/v1/{name}", headers=self.owner)
        assert answer.status_code == 200, answer.text

    async def chosen(self, name: str) -> dict[str, Any]:
        """Return what else something names, in its order."""
        found = (await self._edge.http.get(f"/mesh/v1/{name}", headers=self.owner)).json()
        return {key: found[key] for key in ("agents", "agent", "tools", "dependsOn") if key in found}

    async def forms(self, path: str) -> dict[str, dict[str, str]]:
        """Return what the forms of a page of the panel would send, as the operator sees it."""
        page = await self._edge.http.get(path, headers=self._edge.operator)
        assert page.status_code == 200, page.text
        return _Forms(page.text).sent

    async def send(self, action: str, form: dict[str, str]) -> tuple[int, str]:
        """Send a form as the operator."""
        answer = await self._edge.http.post(action, data=form, headers=self._edge.operator)
        return answer.status_code, answer.text


async def test_a_save_keeps_what_one_would_not_choose_oneself(edge: Edge) -> None:
    """Members, tools, who does a task and what comes before: of somebody else, and archived since."""
    people = _People(edge, await edge.new_user("cora"))
    tool = await people.made(
        "tools", displayName="looker", description="Looks.", kind="TOOL_KIND_HTTP", endpoint="https://example.com/look"
    )
    model = {"provider": "offline"}
    first = await people.made("agents", displayName="First", tools=[tool, "tools/calculator"], model=model)
    gone = await people.made("agents", displayName="Gone")
    crew = await people.made("crews", displayName="Two", agents=[gone, first])
    before = await people.made("taskDefs", crew=crew, agent=first, description="Begin.")
    task = await people.made("taskDefs", crew=crew, agent=gone, description="End.", tools=[tool], dependsOn=[before])
    await people.delete(gone)
    await people.delete(tool)
    kept = [await people.chosen(name) for name in (first, crew, task)]

    definition = f"/panel/{crew}/definition"
    forms = await people.forms(definition)
    its_task = f"/panel/{crew}/tasks/{task.removeprefix('taskDefs/')}"
    for action in (definition, its_task):
        status, page = await people.send(action, forms[action])
        assert 303 == status, page
    agent = f"/panel/{first}/definition"
    status, page = await people.send(agent, (await people.forms(agent))[agent])
    assert 303 == status, page

    assert {"agent": gone, "tools": [tool], "dependsOn": [before]} == kept[2]
    assert kept == [await people.chosen(name) for name in (first, crew, task)]
    assert "First" in (await edge.http.get(f"/panel/{crew}", headers=edge.operator)).text


async def test_what_has_been_deleted_meanwhile_is_said_beside_its_field(edge: Edge) -> None:
    """And what was typed stays."""
    people = _People(edge, await edge.new_user("dora"))
    member, other = [await people.made("agents", displayName=name) for name in ("Member", "Other")]
    crew = await people.made("crews", displayName="One", agents=[member])
    definition = f"/panel/{crew}/definition"
    form = (await people.forms(definition))[definition]
    await people.delete(other)
    status, page = await people.send(definition, {**form, "description": "Typed.", f"member:{other}": "on"})

    assert 422 == status
    assert '<p class="wrong" id="members-wrong">One of these has been deleted' in page
    sent = _Forms(page).sent[definition]
    assert ("Typed.", "on") == (sent["description"], sent[f"member:{other}"])
    assert 404 == (await people.send("/panel/crews/nothing/definition", form))[0]
