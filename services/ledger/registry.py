"""The registry on the ledger: agents, their prices, and the wallets that hold them."""

import dataclasses
import re
import secrets
from typing import Any

from services.ledger.domain.accounts import DEV_KEY_ID, SELLING, Agent, Key
from services.ledger.domain.deals import Funds, new_id, normal_unit
from services.ledger.domain.errors import BadRequest, Forbidden, Missing
from services.ledger.domain.options import DEFAULT_PRICE, POLICIES, POLICY_CHARS
from services.ledger.ports.store import Session

CONFIRMED = "RegistrationConfirmed"
AMOUNT_MAX = 2**63 - 1
PRICES_MAX = 5
_HEX = re.compile(r"[0-9a-fA-F]+")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgentAsk:
    """The body of `POST /registry`."""

    network: str
    selling_wallet_vkey: str
    name: str
    pricing_type: str
    pricing: tuple[tuple[int, str], ...] = ()
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The rest: description, apiBaseUrl, Tags, ExampleOutputs, Capability, Author, Legal."""


def known_agent(session: Session, network: str, agent_identifier: str) -> Agent | None:
    """Return a confirmed agent.  In development one that nobody registered has a default price."""
    agent = session.agent(network, agent_identifier)
    if agent is not None:
        return agent if agent.state == CONFIRMED else None
    wallets = session.wallets(network, SELLING, DEV_KEY_ID) if session.options.development else []
    if not wallets or agent_identifier[:POLICY_CHARS].lower() != POLICIES[network]:
        return None
    return Agent(
        id="",
        agent_identifier=agent_identifier,
        network=network,
        holder_vkey=wallets[0].vkey,
        name=f"Agent {agent_identifier[-8:]}",
        pricing=[(DEFAULT_PRICE, "")],
        metadata={"description": "Not registered: the development ledger answers for it.", "Tags": ["development"]},
        key_id=DEV_KEY_ID,
        created_at=session.now,
        updated_at=session.now,
    )


def find_agent(session: Session, network: str, agent_identifier: str) -> Agent:
    """Return a confirmed agent, or raise `Missing`."""
    agent = known_agent(session, network, agent_identifier)
    if agent is None:
        raise Missing("Agent identifier not found")
    return agent


def register(session: Session, key: Key, ask: AgentAsk) -> Agent:
    """Register an agent.  It is confirmed at once."""
    held = session.wallet(ask.selling_wallet_vkey)
    if (
        held is None
        or held[0].network != ask.network
        or held[1] != SELLING
        or (held[2] != key.id and not key.can_admin)
    ):
        raise Missing("Network and Address combination not supported")
    prices = _prices(ask)
    agent = Agent(
        id=new_id(),
        agent_identifier=POLICIES[ask.network] + secrets.token_hex(32),
        network=ask.network,
        holder_vkey=ask.selling_wallet_vkey,
        name=ask.name,
        pricing_type=ask.pricing_type,
        pricing=prices,
        metadata=ask.metadata,
        key_id=key.id,
        created_at=session.now,
        updated_at=session.now,
    )
    session.save_agent(agent)
    return agent


def _prices(ask: AgentAsk) -> Funds:
    if ask.pricing_type not in ("Fixed", "Free", "Dynamic"):
        raise BadRequest('AgentPricing.pricingType: Invalid option: expected one of "Fixed"|"Free"|"Dynamic"')
    if ask.pricing_type != "Fixed":
        return []
    if not 1 <= len(ask.pricing) <= PRICES_MAX:
        raise BadRequest(f"AgentPricing.Pricing: expected 1 to {PRICES_MAX} amounts")
    for amount, _ in ask.pricing:
        if not 1 <= amount <= AMOUNT_MAX:
            raise BadRequest(f"AgentPricing.Pricing: Invalid amount: expected 1 to {AMOUNT_MAX}")
    return [(amount, normal_unit(unit)) for amount, unit in ask.pricing]


def find_entry(session: Session, agent_id: str) -> Agent:
    """Return an entry by its own id, or raise `Missing`."""
    agent = session.agent_by_id(agent_id)
    if agent is None:
        raise Missing("Registration not found")
    return agent


def _own(key: Key, agent: Agent | None) -> Agent:
    if agent is None:
        raise Missing("Registration not found")
    if agent.key_id != key.id and not key.can_admin:
        raise Forbidden("You are not authorized to perform this action on this registration")
    return agent


def deregister(session: Session, key: Key, network: str, agent_identifier: str) -> Agent:
    """Take an agent off the registry; it can no longer be sold."""
    agent = _own(key, session.agent(network, agent_identifier))
    if agent.state != CONFIRMED:
        raise Missing("Registration not found")
    agent.state = "DeregistrationConfirmed"
    session.save_agent(agent)
    return agent


def delete(session: Session, key: Key, agent_id: str) -> Agent:
    """Forget an entry that is no longer registered."""
    agent = _own(key, session.agent_by_id(agent_id))
    if agent.state == CONFIRMED:
        raise BadRequest("Agent registration cannot be deleted in its current state: RegistrationConfirmed")
    session.delete_agent(agent.id)
    return agent


def read(session: Session, network: str, agent_identifier: str) -> Agent:
    """Return an agent as the chain shows it."""
    if not _HEX.fullmatch(agent_identifier):
        raise BadRequest("Agent identifier is not a valid hex string")
    if agent_identifier[:POLICY_CHARS].lower() != POLICIES[network]:
        raise Missing("Network and policyId combination not supported")
    return find_agent(session, network, agent_identifier)


def list_agents(session: Session, network: str, before: str, limit: int) -> list[Agent]:
    """Return entries, newest first."""
    return session.agents(network, before, limit)


def held_by(session: Session, network: str, vkey: str) -> list[Agent]:
    """Return the confirmed agents that a wallet holds."""
    held = session.wallet(vkey)
    if held is None or held[0].network != network:
        raise Missing("Wallet not found")
    agents = session.agents(network, "", 1000)
    return [agent for agent in agents if agent.holder_vkey == vkey and agent.state == CONFIRMED]


def move_agent(session: Session, network: str, agent_identifier: str, vkey: str) -> Agent:
    """Let another wallet hold an agent, as if its NFT had been sent there (control)."""
    agent = find_agent(session, network, agent_identifier)
    if not agent.id:  # development's default: from now on it is an entry like others
        agent.id = new_id()
    agent.holder_vkey = vkey
    session.save_agent(agent)
    return agent
