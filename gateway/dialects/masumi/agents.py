"""The payment service's registry: who sells what, and from which wallets."""

from collections.abc import Sequence
from typing import Any

from agentmesh_protos.payments.v1 import ledger_pb2
from google.api import httpbody_pb2
from google.protobuf import struct_pb2

from gateway.core.mip003 import public
from gateway.core.peers import Peers
from gateway.dialects.masumi import views
from gateway.dialects.masumi.ledger import Ledger, money, success
from gateway.dialects.masumi.records import PAGE, PAGE_MAX
from gateway.dialects.masumi.schema import Schema
from gateway.http.answers import dumps
from gateway.http.exchange import exchange
from meshkit.errors import Invalid, from_rpc

_STATES = {"Registered": "RegistrationConfirmed", "Deregistered": "DeregistrationConfirmed"}
_METADATA_BYTES_MAX = 16_384


class Agents:
    """Registered agents, and the networks they are on."""

    def __init__(self, ledger: Ledger, peers: Peers) -> None:
        self._ledger = ledger
        self._sellers = public.Sellers(peers)

    async def sources(self) -> httpbody_pb2.HttpBody:
        """Return the networks with the caller's wallets."""
        asked = ledger_pb2.ListPaymentSourcesRequest(token=self._ledger.token)
        with from_rpc():
            sources = (await self._ledger.stub.ListPaymentSources(asked)).sources
        return success({"PaymentSources": [views.payment_source(item) for item in sources]})

    async def list(self, request: Any) -> httpbody_pb2.HttpBody:
        """Return a page of registered agents, newest first."""
        schema = await self._ledger.read(request)
        asked = self._asked(schema)
        asked.page_size = int(schema.number("limit", 1, PAGE_MAX, PAGE))
        asked.cursor = request.cursorId
        asked.agent_identifier = request.filterAgentIdentifier
        found = await self._found(asked, schema)
        wanted = _STATES.get(request.filterStatus, "")
        return success({"Assets": [views.agent(self._at_home(item)) for item in found if wanted in ("", item.state)]})

    async def register(self, request: Any) -> httpbody_pb2.HttpBody:
        """Register an agent."""
        schema = await self._ledger.read(request)
        pricing = schema.mapping("AgentPricing")
        kind = pricing.choice("pricingType", ("Fixed", "Free", "Dynamic"))
        agent = ledger_pb2.LedgerAgent(
            network=schema.network(),
            holder_vkey=schema.text("sellingWalletVkey", most=250),
            display_name=schema.text("name", least=1, most=250),
            pricing_type=kind,
            pricing=money(pricing.funds("Pricing", items_max=5)) if kind == "Fixed" else [],
        )
        schema.join("AgentPricing", pricing)
        agent.metadata.CopyFrom(_metadata(schema))
        schema.check()
        with from_rpc():
            asked = ledger_pb2.RegisterAgentRequest(token=self._ledger.token, agent=agent)
            return success(views.agent(await self._ledger.stub.RegisterAgent(asked)))

    async def delete(self, request: Any) -> httpbody_pb2.HttpBody:
        """Forget an entry that is no longer registered."""
        schema = await self._ledger.read(request)
        asked = ledger_pb2.DeleteAgentRequest(token=self._ledger.token, id=schema.text("id", most=100))
        schema.check()
        with from_rpc():
            return success(views.agent(await self._ledger.stub.DeleteAgent(asked)))

    async def deregister(self, request: Any) -> httpbody_pb2.HttpBody:
        """Take an agent off the registry."""
        schema = await self._ledger.read(request)
        asked = ledger_pb2.DeregisterAgentRequest(
            token=self._ledger.token,
            network=schema.network(),
            agent_identifier=schema.text("agentIdentifier", least=57, most=250),
        )
        schema.check()
        with from_rpc():
            return success(views.agent(await self._ledger.stub.DeregisterAgent(asked)))

    async def get(self, request: Any) -> httpbody_pb2.HttpBody:
        """Return an agent as the chain shows it."""
        schema = await self._ledger.read(request)
        asked = self._asked(schema)
        asked.agent_identifier = schema.text("agentIdentifier", least=1, most=250)
        return success(views.agent_on_chain(self._at_home((await self._found(asked, schema))[0])))

    async def of_wallet(self, request: Any) -> httpbody_pb2.HttpBody:
        """Return the agents that a wallet holds."""
        schema = await self._ledger.read(request)
        asked = self._asked(schema)
        # Older releases of the service spell it with a capital K.
        asked.holder_vkey = schema.text("walletVKey" if request.walletVKey else "walletVkey", least=1, most=250)
        return success(
            {"Assets": [views.agent_on_chain(self._at_home(item)) for item in await self._found(asked, schema)]}
        )

    def _asked(self, schema: Schema) -> ledger_pb2.ListAgentsRequest:
        return ledger_pb2.ListAgentsRequest(token=self._ledger.token, network=schema.network())

    async def _found(self, asked: ledger_pb2.ListAgentsRequest, schema: Schema) -> Sequence[ledger_pb2.LedgerAgent]:
        schema.check()
        with from_rpc():
            response: ledger_pb2.ListAgentsResponse = await self._ledger.stub.ListAgents(asked)
        return response.agents

    def _at_home(self, agent: ledger_pb2.LedgerAgent) -> ledger_pb2.LedgerAgent:
        """Return an agent with its base URL: where this mesh serves it, if it was registered without one."""
        if not agent.metadata.fields["apiBaseUrl"].string_value:
            base = self._sellers.base_of(agent.agent_identifier, exchange().base_url)
            agent.metadata.fields["apiBaseUrl"].string_value = base
        return agent


def _metadata(schema: Schema) -> struct_pb2.Struct:
    """Return what else is registered of an agent; its shape is the caller's affair, its size is not."""
    found = schema.values("description", "apiBaseUrl", "Tags", "ExampleOutputs", "Capability", "Author", "Legal")
    if len(dumps(found).encode()) > _METADATA_BYTES_MAX:
        raise Invalid(f"description: Too big: expected at most {_METADATA_BYTES_MAX} bytes of metadata")
    metadata = struct_pb2.Struct()
    metadata.update(found)
    return metadata
