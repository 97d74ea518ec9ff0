"""The registry of agents."""

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.dialects.masumi.shapes.common import AgentIdentifier, Funds, Iso, Model, Network, Short, call, ok
from gateway.dialects.masumi.shapes.sources import Source
from gateway.http.shapes import REPEATABLE, Shape


class Pricing(Model):
    """What an agent's jobs cost."""

    pricingType: Literal["Fixed", "Free", "Dynamic"]
    Pricing: Annotated[list[Funds], Field(max_length=5)] | None = None
    """For `Fixed`."""


class NewAgent(Model):
    """An agent to register; what is said beyond name and price is kept as it is."""

    network: Network
    sellingWalletVkey: Short
    name: Annotated[str, Field(min_length=1, max_length=250)]
    AgentPricing: Pricing
    description: Any = None
    apiBaseUrl: Any = None
    Tags: Any = None
    ExampleOutputs: Any = None
    Capability: Any = None
    Author: Any = None
    Legal: Any = None


class AgentId(Model):
    """Names an entry of the registry."""

    id: Annotated[str, Field(max_length=100)]


class OneAgent(Model):
    """Names an agent."""

    network: Network
    agentIdentifier: AgentIdentifier


class AgentPrice(Model):
    """What an agent's jobs cost; without amounts unless it is `Fixed`."""

    pricingType: str
    Pricing: list[Funds] = Field(default_factory=list)


class AgentWallet(Model):
    """Who holds an agent."""

    walletVkey: str
    walletAddress: str


class Agent(Model):
    """An entry of the registry."""

    error: None
    id: str
    name: str
    description: Any
    type: Literal["Standard"]
    apiBaseUrl: Any
    openApiSpecUrl: None
    x402ResourcesUrl: None
    a2aAgentCardUrl: None
    a2aProtocolVersions: list[str]
    paymentSourceType: str
    Capability: dict[str, Any]
    Author: dict[str, Any]
    Legal: dict[str, Any]
    state: str
    Tags: Any
    ExampleOutputs: Any
    createdAt: Iso
    updatedAt: Iso
    lastCheckedAt: Iso
    agentIdentifier: str | None
    AgentPricing: AgentPrice
    sendFundingLovelace: None
    supportedPaymentSources: None
    verifications: None
    SmartContractWallet: AgentWallet
    RecipientWallet: None
    CurrentTransaction: None
    PaymentSource: Source


class Agents(Model):
    """A page of the registry."""

    Assets: list[Agent]


class AgentMetadata(Model):
    """What an agent is registered with."""

    name: str
    description: Any
    apiBaseUrl: Any
    ExampleOutputs: Any
    Tags: Any
    Capability: Any
    Author: Any
    Legal: Any
    AgentPricing: AgentPrice
    image: Any
    metadataVersion: int
    supportedPaymentSources: None
    verifications: None


class ChainAgent(Model):
    """An agent as the chain shows it."""

    policyId: str
    assetName: str
    agentIdentifier: str
    Metadata: AgentMetadata


class ChainAgents(Model):
    """The agents that a wallet holds."""

    Assets: list[ChainAgent]


SHAPES = {
    "MasumiService.ListRegistry": Shape(answers=ok(Agents)),
    "MasumiService.RegisterAgent": call(NewAgent, Agent, REPEATABLE),
    "MasumiService.DeleteRegistration": call(AgentId, Agent),
    "MasumiService.DeregisterAgent": call(OneAgent, Agent),
    "MasumiService.GetAgent": Shape(answers=ok(ChainAgent)),
    "MasumiService.ListWalletAgents": Shape(answers=ok(ChainAgents)),
}
