"""blockchainIdentifiers: the real ones verify, ours are of the same make, and no change goes unseen."""

import contextlib
import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.masumi import identifiers, lz
from meshkit.masumi.identifiers import NotGenuine, SignedTerms
from tests.meshkit.masumi.real import REAL, SELLER_VKEY, Real


def terms_of(real: Real) -> SignedTerms:
    """Return what was signed."""
    return SignedTerms(
        input_hash=real.input_hash,
        agent_identifier=real.agent_identifier,
        purchaser_identifier=real.purchaser,
        seller_identifier=identifiers.parse(real.blockchain_identifier).seller_identifier,
        funds=None,
        pay_by_time=real.pay_by_time,
        submit_result_time=real.submit_result_time,
        unlock_time=real.unlock_time,
        external_dispute_unlock_time=real.external_dispute_unlock_time,
    )


@pytest.mark.parametrize("real", REAL)
def test_a_real_identifier_verifies(real: Real) -> None:
    """Its signature is of the seller's key, over the very terms of the event."""
    parsed = identifiers.parse(real.blockchain_identifier)

    identifiers.verify(parsed, terms_of(real), SELLER_VKEY)

    assert real.agent_identifier == parsed.agent_identifier
    assert 64 + len(real.agent_identifier) == len(parsed.seller_identifier)


@pytest.mark.parametrize("real", REAL)
def test_compression_is_bit_identical(real: Real) -> None:
    """What JavaScript compressed, we compress to the same bytes."""
    data = bytes.fromhex(real.blockchain_identifier)

    assert data == lz.compress(lz.decompress(data, 4096))


@pytest.mark.parametrize(
    "change",
    [
        {"input_hash": "00" * 32},
        {"pay_by_time": 1},
        {"submit_result_time": 1},
        {"unlock_time": 1},
        {"external_dispute_unlock_time": 1},
        {"funds": ((1, ""),)},
        {"seller_identifier": "0" * 184},
        {"purchaser_identifier": "00" * 10},
    ],
)
def test_a_changed_term_breaks_the_signature(change: dict[str, object]) -> None:
    """Each of them (row 7)."""
    real = REAL[0]
    changed = dataclasses.replace(terms_of(real), **change)  # type: ignore[arg-type] # whatever the field takes

    with pytest.raises(NotGenuine, match="signature invalid"):
        identifiers.verify(identifiers.parse(real.blockchain_identifier), changed, SELLER_VKEY)


def test_our_own_identifiers_verify() -> None:
    """And only with our key."""
    wallet = identifiers.new_wallet("Preprod")
    terms = dataclasses.replace(terms_of(REAL[0]), funds=((5, ""), (7, "ab" * 28)))

    parsed = identifiers.parse(identifiers.sign(terms, wallet))

    identifiers.verify(parsed, terms, wallet.vkey)
    with pytest.raises(NotGenuine, match="key does not match"):
        identifiers.verify(parsed, terms, SELLER_VKEY)
    with pytest.raises(NotGenuine, match="key not found"):
        identifiers.verify(dataclasses.replace(parsed, key="00"), terms, wallet.vkey)
    with pytest.raises(NotGenuine, match="signature invalid"):
        identifiers.verify(dataclasses.replace(parsed, signature="84"), terms, wallet.vkey)


@pytest.mark.parametrize("position", range(0, 360, 7))
def test_no_byte_of_a_signature_can_be_changed(position: int) -> None:
    """COSE frame, address, payload and signature: any other byte is refused."""
    real = REAL[1]
    parsed = identifiers.parse(real.blockchain_identifier)
    forged = bytearray.fromhex(parsed.signature)
    forged[position % len(forged)] ^= 1

    with pytest.raises(NotGenuine, match="signature invalid"):
        identifiers.verify(dataclasses.replace(parsed, signature=forged.hex()), terms_of(real), SELLER_VKEY)


@pytest.mark.parametrize("text", ["", "zz", "abc", "00", "ff" * 4001, lz.compress("a.b.c").hex()])
def test_what_is_no_identifier_is_refused(text: str) -> None:
    """Without a stack trace, whatever it is."""
    with pytest.raises(NotGenuine, match="Invalid blockchain identifier, format invalid"):
        identifiers.parse(text)


def test_a_bomb_is_not_unpacked() -> None:
    """A few bytes that stand for much text."""
    with pytest.raises(ValueError, match="longer than 4096"):
        lz.decompress(lz.compress("a" * 100_000), 4096)


@given(st.text(alphabet=st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    """Compressed and back."""
    assert text == lz.decompress(lz.compress(text), 100_000)


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    """Never another error."""
    with contextlib.suppress(ValueError):
        assert len(lz.decompress(data, 4096)) <= 4096


def test_a_wallet_has_an_address_of_its_network() -> None:
    """57 bytes whose second to 29th are the key's hash."""
    wallet = identifiers.new_wallet("Preprod")
    mainnet = dataclasses.replace(wallet, network="Mainnet")

    assert 57 == len(wallet.raw_address)
    assert hashlib.blake2b(wallet.public, digest_size=28).hexdigest() == wallet.raw_address[1:29].hex() == wallet.vkey
    assert wallet.address.startswith("addr_test1q")
    assert mainnet.address.startswith("addr1q")
    assert wallet.seed.hex() not in repr(wallet)
