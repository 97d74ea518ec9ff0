"""Genuine blockchainIdentifiers: the signed terms of one payment, as Masumi makes and checks them.

Plain text: `sellerId.purchaserId.signature.key`, compressed by LZ-string, in hex.  The signature is a COSE_Sign1
(RFC 9052) over SHA-256 of the canonical JSON (RFC 8785) of the ten signed fields; the key a COSE_Key with an Ed25519
key, whose blake2b-224 is the seller's vkey.  Source: masumi-payment-service; two real identifiers are test vectors.
"""

import dataclasses
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from meshkit.errors import Invalid
from meshkit.masumi import lz

CHARS_MAX = 8000
"""Of the hex text (the schema of `POST /purchase`)."""
_TEXT_CHARS_MAX = 4096
_COSE_KEY = bytes.fromhex("a4010103270621215820")  # Mesh's: kty 1, alg EdDSA, crv at -2 written as 06 21, x of 32 bytes
_HASHED_FALSE = bytes.fromhex("a166686173686564f4")  # the unprotected header {"hashed": false}
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class NotGenuine(Invalid):
    """An identifier that says or proves something else."""


# -- wallets ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """A key of ours and its address on one network."""

    seed: bytes = dataclasses.field(repr=False)
    """32 bytes: the Ed25519 private key."""
    network: str

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    @property
    def vkey(self) -> str:
        """Payment key hash: 56 hex digits."""
        return key_hash(self.public)

    @property
    def raw_address(self) -> bytes:
        """A base address (CIP-19 type 0): header, payment key hash, stake key hash; 57 bytes."""
        stake = hashlib.blake2b(b"stake" + self.public, digest_size=28).digest()
        return bytes([1 if self.network == "Mainnet" else 0]) + bytes.fromhex(self.vkey) + stake

    @property
    def address(self) -> str:
        """The address in bech32."""
        return bech32_address(self.raw_address)


def new_wallet(network: str) -> Wallet:
    """Return a wallet with a key of its own."""
    return Wallet(seed=secrets.token_bytes(32), network=network)


def key_hash(public: bytes) -> str:
    """Return blake2b-224 of a public key, in hex: a vkey."""
    return hashlib.blake2b(public, digest_size=28).hexdigest()


def bech32_address(raw: bytes) -> str:
    """Return a Cardano address in bech32 (CIP-19); its network is in the low half of the first byte."""
    prefix = "addr" if raw[0] & 0x0F == 1 else "addr_test"
    values, acc, bits = [], 0, 0
    for byte in raw:
        acc, bits = (acc << 8) | byte, bits + 8
        while bits >= 5:
            bits -= 5
            values.append((acc >> bits) & 31)
    if bits:
        values.append((acc << (5 - bits)) & 31)
    head = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    check = _polymod([*head, *values, 0, 0, 0, 0, 0, 0]) ^ 1
    values += [(check >> 5 * (5 - place)) & 31 for place in range(6)]
    return f"{prefix}1{''.join(_ALPHABET[value] for value in values)}"


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = ((check & 0x1FFFFFF) << 5) ^ value
        for place, generator in enumerate(_GENERATOR):
            check ^= generator if (top >> place) & 1 else 0
    return check


# -- signed terms ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SignedTerms:
    """What the seller signs.  Times in ms since 1970; `funds` is None for a fixed price."""

    input_hash: str
    agent_identifier: str
    purchaser_identifier: str
    seller_identifier: str
    funds: tuple[tuple[int, str], ...] | None
    pay_by_time: int
    submit_result_time: int
    unlock_time: int
    external_dispute_unlock_time: int

    def payload(self, seller_address: str) -> bytes:
        """Return the 32 bytes that are signed."""
        funds = None if self.funds is None else [{"amount": str(amount), "unit": unit} for amount, unit in self.funds]
        signed: Mapping[str, Any] = {
            "inputHash": self.input_hash,
            "agentIdentifier": self.agent_identifier,
            "purchaserIdentifier": self.purchaser_identifier,
            "sellerIdentifier": self.seller_identifier,
            "RequestedFunds": funds,
            "payByTime": str(self.pay_by_time),
            "submitResultTime": str(self.submit_result_time),
            "unlockTime": str(self.unlock_time),
            "externalDisputeUnlockTime": str(self.external_dispute_unlock_time),
            "sellerAddress": seller_address,
        }
        return hashlib.sha256(rfc8785.dumps(dict(signed))).digest()


def new_seller_identifier(agent_identifier: str) -> str:
    """Return 64 random hex digits and the agent's identifier: unique to one payment."""
    return hashlib.sha256(secrets.token_bytes(24)).hexdigest() + agent_identifier


def sign(terms: SignedTerms, wallet: Wallet) -> str:
    """Return the blockchainIdentifier of `terms`, signed by the seller's wallet."""
    protected = _protected(wallet)
    payload = terms.payload(wallet.address)
    signature = Ed25519PrivateKey.from_private_bytes(wallet.seed).sign(_to_be_signed(protected, payload))
    cose = (
        b"\x84\x58"
        + bytes([len(protected)])
        + protected
        + _HASHED_FALSE
        + b"\x58\x20"
        + payload
        + b"\x58\x40"
        + signature
    )
    key = _COSE_KEY + wallet.public
    text = f"{terms.seller_identifier}.{terms.purchaser_identifier}.{cose.hex()}.{key.hex()}"
    return lz.compress(text).hex()


def _protected(wallet: Wallet) -> bytes:
    # CBOR: {1: -8 (EdDSA), 4: key id, "address": raw address}
    address = wallet.raw_address
    return b"\xa3\x01\x27\x04\x58\x20" + wallet.public + b"\x67address\x58" + bytes([len(address)]) + address


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    # CBOR: ["Signature1", protected, h'', payload]
    return b"\x84\x6aSignature1\x58" + bytes([len(protected)]) + protected + b"\x40\x58\x20" + payload


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A blockchainIdentifier, taken apart; nothing in it has been checked yet."""

    seller_identifier: str
    purchaser_identifier: str
    signature: str
    key: str

    @property
    def agent_identifier(self) -> str:
        """What the seller's identifier says behind its 64 random digits."""
        return self.seller_identifier[64:]


def parse(blockchain_identifier: str) -> Identifier:
    """Take an identifier apart.  Raises `NotGenuine` if it is not one."""
    try:
        if len(blockchain_identifier) > CHARS_MAX:
            raise ValueError("too long")
        text = lz.decompress(bytes.fromhex(blockchain_identifier), _TEXT_CHARS_MAX)
        seller, purchaser, signature, key = text.split(".")
    except ValueError:
        raise NotGenuine("Invalid blockchain identifier, format invalid") from None
    return Identifier(seller_identifier=seller, purchaser_identifier=purchaser, signature=signature, key=key)


def verify(identifier: Identifier, terms: SignedTerms, seller_vkey: str) -> None:
    """Check key and signature.  Raises `NotGenuine`, saying which of them fails."""
    try:
        key = bytes.fromhex(identifier.key)
    except ValueError:
        key = b""
    if len(key) != len(_COSE_KEY) + 32 or not key.startswith(_COSE_KEY):
        raise NotGenuine("Invalid blockchain identifier, key not found")
    public = key[-32:]
    if key_hash(public) != seller_vkey:
        raise NotGenuine("Invalid blockchain identifier, key does not match")
    try:
        _verify_signature(bytes.fromhex(identifier.signature), public, terms, seller_vkey)
    except (ValueError, IndexError, InvalidSignature):
        raise NotGenuine("Invalid blockchain identifier, signature invalid") from None


def _verify_signature(cose: bytes, public: bytes, terms: SignedTerms, seller_vkey: str) -> None:
    size = cose[2]
    protected, rest = cose[3 : 3 + size], cose[3 + size :]
    mark = protected.index(b"\x67address") + len(b"\x67address")
    address = protected[mark + 2 : mark + 2 + protected[mark + 1]]
    payload, signature = rest[11:43], rest[45:]
    frame = b"\x84\x58" + bytes([size]) + protected + _HASHED_FALSE + b"\x58\x20" + payload + b"\x58\x40" + signature
    if cose != frame or len(signature) != 64 or address[1:29].hex() != seller_vkey:
        raise ValueError("not the frame of a signature by this key")
    if payload != terms.payload(bech32_address(address)):
        raise ValueError("other terms were signed")
    Ed25519PublicKey.from_public_bytes(public).verify(signature, _to_be_signed(protected, payload))
