"""What forms of definitions offer: what belongs to the owner of what is changed, whoever changes it.

The registry takes nothing else.  Lists are bounded: a form offers what is chosen besides (`ticks` in its template).
"""

from collections.abc import Sequence
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2, tool_pb2

from gateway.web.panel.visitor import Visitor
from meshkit.errors import from_rpc

_OWN_MAX = 200
_ALL_MAX = 1000
"""Of every owner's, the newest: no list is of somebody else's only."""
_ASK_S = 10.0


async def agents_of(agents: Any, visitor: Visitor, owner: str = "") -> list[agent_pb2.Agent]:
    """Return the agents of `owner`, the visitor if it is empty, that `agents`, the stub, lists."""
    foreign = _is_foreign(visitor, owner)
    request = agent_pb2.ListAgentsRequest(page_size=_ALL_MAX if foreign else _OWN_MAX, all_owners=foreign)
    with from_rpc():
        found = await agents.ListAgents(request, timeout=_ASK_S)
    return [agent for agent in found.agents if not foreign or agent.owner == owner]


async def tools_of(tools: Any, visitor: Visitor, owner: str = "") -> list[tool_pb2.Tool]:
    """As `agents_of`, with the tools that everybody has."""
    foreign = _is_foreign(visitor, owner)
    request = tool_pb2.ListToolsRequest(page_size=_ALL_MAX if foreign else _OWN_MAX, all_owners=foreign)
    with from_rpc():
        found = await tools.ListTools(request, timeout=_ASK_S)
    return [tool for tool in found.tools if not foreign or tool.owner in ("", owner)]


def chosen(names: Sequence[str], listed: Sequence[agent_pb2.Agent]) -> list[agent_pb2.Agent]:
    """Return the agents of these names in their order; one that is not listed is called by its id."""
    known = {agent.name: agent for agent in listed}
    return [known.get(name) or agent_pb2.Agent(name=name, display_name=name.removeprefix("agents/")) for name in names]


def _is_foreign(visitor: Visitor, owner: str) -> bool:
    return visitor.operator and owner not in ("", visitor.principal.user)
