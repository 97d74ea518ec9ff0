"""Flows that anybody may run: who owns what strangers start, and the base URL that their buyers are told.

Whether a flow is public is the registry's word (`Flow.public`); that everything without a login belongs to
`meshkit.principal.GUEST` is decided here.
"""

from urllib.parse import quote

from agentmesh_protos.registry.v1 import registry_pb2

from gateway.core.peers import Peers
from meshkit.errors import NotFound
from meshkit.principal import GUEST, Principal, caller

PATH = "/mip003"
"""Under which the dialect of MIP-003 serves a flow."""


def base_of(flow: registry_pb2.Flow, base_url: str) -> str:
    """Return the base URL of a flow for buyers that follow MIP-003: its endpoints are directly below."""
    return f"{base_url}{PATH}/{quote(flow.name.removeprefix('flows/'))}"


class Sellers:
    """Which public flow of this mesh sells as which registered agent."""

    def __init__(self, peers: Peers) -> None:
        self._followed = peers.followed

    def base_of(self, agent_identifier: str, base_url: str) -> str:
        """Return the base URL of an agent, the first by name; empty for one that no public flow here sells as."""
        return next(
            (
                base_of(flow, base_url)
                for flow in self._followed.all()
                if flow.public and flow.enabled and flow.pricing.agent_identifier == agent_identifier
            ),
            "",
        )


def runs(flow: registry_pb2.Flow) -> Principal:
    """Return who a job of the flow belongs to: guests if it is public, whoever calls, else the caller.

    Raises `NotFound` if it is not public and nobody has signed in.
    """
    if flow.public:
        return GUEST
    if not caller().user:
        raise missing(flow.name)
    return caller()


def missing(flow: str) -> NotFound:
    """Return the error of a flow that there is not, or not for guests: they cannot tell which."""
    service = flow.removeprefix("flows/")[:200]
    return NotFound(f"Service '{service}' not found, or not public: sign in if it is yours", resource="flows")
