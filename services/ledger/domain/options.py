"""How a ledger behaves, and the facts of the two networks."""

import dataclasses
from collections.abc import Mapping

from services.ledger.domain.steps import Pace

POLICIES: Mapping[str, str] = {
    "Preprod": "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77",
    "Mainnet": "ad6424e3ce9e47bbd8364984bd731b41de591f1d11f6d7d43d0da9b9",
}
"""The registry's policy id on each network (V1): the first 56 digits of an agentIdentifier."""
CONTRACTS: Mapping[str, str] = {
    "Preprod": "addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm",
    "Mainnet": "addr1wx7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsq87ujx7",
}
"""Where the money is, for people to read; nobody sends anything to it."""
SOURCE_TYPE = "Web3CardanoV1"
NETWORKS = tuple(POLICIES)
POLICY_CHARS = 56
DEMO_VKEY = "2a581594ee277e1625a4e999b1b2d788f54217c35bd7f50ea9aecd64"
"""The seller's key that kodosumi's demonstration notebook writes into its purchases."""
DEFAULT_PRICE = 10_000_000
"""In lovelace, of an agent that nobody registered: what the notebook's agent costs."""
DEV_LOVELACE = 1_000_000_000_000
"""What the buyer `dev` starts with, on each network: a million ada."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a ledger behaves."""

    development: bool = False
    """Whether there is a buyer for the asking and agents that nobody registered have a price."""
    development_token: str = ""
    """Of that buyer, the key `dev`."""
    vkey_alias: str = ""
    """A seller's key that `POST /purchase` takes for the development wallet."""
    pace: Pace = dataclasses.field(default_factory=Pace)
