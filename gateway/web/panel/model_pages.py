"""Models: which ones agents and crews' managers have, where they are reached, and whether they answer.

A model is kept with each agent that has it, and so is its key: what is changed here is changed in each of them.
"""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2
from google.protobuf import field_mask_pb2
from starlette.responses import Response

from gateway.core.peers import Peers
from gateway.web.panel import models, shell
from gateway.web.panel.agents import ASK_S
from gateway.web.panel.visitor import Visitor
from meshkit.errors import MeshError, NotFound, from_rpc

HOME = "/panel/models"
_LIST_MAX = 1000
_AT_ONCE = 8
_CHOSEN = "in:"
"""Before the name of each agent or crew that is chosen, in the form's names."""
_KEY = "api_key"
_GONE = "No agent has this model any more."
Key = tuple[str, str, str]
"""Provider, model and endpoint."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _User:
    """An agent, or a crew by its manager, and the model that it has."""

    name: str
    title: str
    what: str
    model: agent_pb2.Model
    has_key: bool
    etag: str

    @property
    def why_offline(self) -> str:
        """Why the offline model answers for it; empty if it does not."""
        return models.why_offline(self.model, self.has_key)


class ModelPages:
    """The models of the caller's agents and crews; operators have everybody's."""

    def __init__(self, peers: Peers) -> None:
        self._agents = peers.agents
        self._crews = peers.crews

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/models."""
        users, cut = await self._users(visitor)
        groups: dict[Key, list[_User]] = {}
        for user in users:
            groups.setdefault(_key_of(user.model), []).append(user)
        rows = [_row(key, group) for key, group in sorted(groups.items())]
        return visitor.page("models.html", rows=rows, cut=cut)

    async def show_one(self, visitor: Visitor) -> Response:
        """GET /panel/models/one?provider=&model=&endpoint=."""
        return _page(visitor, await self._asked(visitor), {}, [])

    async def change(self, visitor: Visitor) -> Response:
        """POST /panel/models/one?…: give those that were chosen another model, or its key anew."""
        group = await self._asked(visitor)
        wanted = _model_of((_sent(visitor, "provider"), _sent(visitor, "model"), _sent(visitor, "endpoint")))
        if not any((wanted.provider, wanted.model, wanted.endpoint)):
            wanted.provider = models.OFFLINE
        key = visitor.form.get(_KEY, "")
        slots = asyncio.Semaphore(_AT_ONCE)

        async def change(user: _User) -> str:
            async with slots:
                try:
                    with from_rpc():
                        await self._keep(user, wanted, key)
                except MeshError as error:
                    return f"{user.title}: {'; '.join(_texts(error)) or error}"
            return ""

        chosen = [user for user in group if f"{_CHOSEN}{user.name}" in visitor.form]
        refused = [text for text in await asyncio.gather(*map(change, chosen)) if text]
        if not chosen:
            refused = ["Choose whose model it is that changes."]
        if refused:
            return _page(visitor, await self._asked(visitor), visitor.form, refused)
        return shell.see_other(HOME)

    async def _keep(self, user: _User, wanted: agent_pb2.Model, key: str) -> None:
        field, secret = ("model", _KEY) if user.name.startswith("agents/") else ("manager", "manager_api_key")
        paths = [f"{field}.{name}" for name in ("provider", "model", "endpoint")] + ([secret] if key else [])
        values: dict[str, Any] = {"name": user.name, "etag": user.etag, field: wanted, secret: key}
        mask = field_mask_pb2.FieldMask(paths=paths)
        if field == "model":
            asked = agent_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(**values), update_mask=mask)
            await self._agents.UpdateAgent(asked, timeout=ASK_S)
        else:
            request = crew_pb2.UpdateCrewRequest(crew=crew_pb2.Crew(**values), update_mask=mask)
            await self._crews.UpdateCrew(request, timeout=ASK_S)

    async def _asked(self, visitor: Visitor) -> list[_User]:
        """Return who has the model that the address names.  Raises `NotFound`."""
        key = _queried(visitor)
        users, _ = await self._users(visitor)
        group = [user for user in users if _key_of(user.model) == key]
        if not group and visitor.request.method == "GET":
            raise NotFound(_GONE)
        return group

    async def _users(self, visitor: Visitor) -> tuple[list[_User], bool]:
        """Return the newest agents and crews that have a model, and whether there are more."""
        everybody = visitor.operator
        with from_rpc():
            agents, crews = await asyncio.gather(
                self._agents.ListAgents(
                    agent_pb2.ListAgentsRequest(page_size=_LIST_MAX, all_owners=everybody), timeout=ASK_S
                ),
                self._crews.ListCrews(
                    crew_pb2.ListCrewsRequest(page_size=_LIST_MAX, all_owners=everybody), timeout=ASK_S
                ),
            )
        found = [_agent(agent) for agent in agents.agents]
        found += [_crew(crew) for crew in crews.crews if crew.HasField("manager")]
        return found, bool(agents.next_page_token or crews.next_page_token)


def _agent(agent: agent_pb2.Agent) -> _User:
    return _User(
        name=agent.name,
        title=agent.display_name,
        what="Agent",
        model=agent.model,
        has_key=agent.has_api_key,
        etag=agent.etag,
    )


def _crew(crew: crew_pb2.Crew) -> _User:
    return _User(
        name=crew.name,
        title=crew.display_name,
        what="Manager of a crew",
        model=crew.manager,
        has_key=crew.has_manager_api_key,
        etag=crew.etag,
    )


def _key_of(model: agent_pb2.Model) -> Key:
    return model.provider.strip(), model.model.strip(), model.endpoint.strip()


def _model_of(key: Key) -> agent_pb2.Model:
    provider, model, endpoint = key
    return agent_pb2.Model(provider=provider, model=model, endpoint=endpoint)


def _queried(visitor: Visitor) -> Key:
    return visitor.query("provider"), visitor.query("model"), visitor.query("endpoint")


def _sent(visitor: Visitor, name: str) -> str:
    return visitor.form.get(name, "").strip()


def _named(key: Key) -> dict[str, str]:
    return dict(zip(("provider", "model", "endpoint"), key, strict=True))


def _row(key: Key, group: Sequence[_User]) -> dict[str, Any]:
    whys = [user.why_offline for user in group]
    offline = sum(map(bool, whys))
    return {
        "title": models.title_of(_model_of(key)),
        "url": f"{HOME}/one?{urlencode(_named(key))}",
        "endpoint": key[2],
        "agents": sum(user.what == "Agent" for user in group),
        "crews": sum(user.what != "Agent" for user in group),
        "kept": sum(user.has_key for user in group),
        "all": len(group),
        "offline": offline,
        "why": next(filter(None, whys), ""),
        "chosen": key[0].lower() == models.OFFLINE,
    }


def _page(visitor: Visitor, group: Sequence[_User], sent: Any, problems: list[str]) -> Response:
    key = _queried(visitor)
    return visitor.page(
        "model.html",
        status=422 if problems else 200,
        title=models.title_of(_model_of(key)),
        given=_named(key),
        row=_row(key, group),
        group=[{"user": user, "chosen": not sent or f"{_CHOSEN}{user.name}" in sent} for user in group],
        filled={name: sent.get(name, value) for name, value in _named(key).items()},
        problems=problems,
        faults={},
    )


def _texts(error: MeshError) -> list[str]:
    fields = getattr(error, "fields", {})
    return [f"{name.rpartition('.')[2].replace('_', ' ')} {text}" for name, texts in fields.items() for text in texts]
