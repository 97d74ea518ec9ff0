"""Secrets: sealed for one place, never printed; keys made once, and changed later."""

import base64
import concurrent.futures
import copy
import json
import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from meshkit.errors import FailedPrecondition
from meshkit.secrets import KEY_BYTES, Secret, Vault, parse_key, write_once

KEY, OTHER = bytes(range(KEY_BYTES)), bytes(KEY_BYTES)


def test_what_is_sealed_can_be_opened() -> None:
    """Any text, and never the same twice."""
    vault = Vault(KEY)
    for text in ("sk-1", "", "ключ 😀", "x" * 10_000):
        sealed = vault.seal(Secret(text), "agents/1#api_key")
        assert vault.open(sealed, "agents/1#api_key").reveal() == text
        assert sealed != vault.seal(Secret(text), "agents/1#api_key")
        assert not text or text.encode() not in sealed


@pytest.mark.parametrize("place", ["agents/2#api_key", "agents/1#other", ""])
def test_it_opens_in_its_own_place_only(place: str) -> None:
    """Moved to another row or column it is worthless."""
    sealed = Vault(KEY).seal(Secret("s"), "agents/1#api_key")
    with pytest.raises(FailedPrecondition) as caught:
        Vault(KEY).open(sealed, place)

    assert "set it anew" in str(caught.value)


def test_damage_is_noticed_wherever_it_is() -> None:
    """Each byte counts, and so does the length."""
    vault = Vault(KEY)
    sealed = vault.seal(Secret("s"), "p")
    spoiled = [sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :] for index in range(len(sealed))]
    for damaged in (*spoiled, *(sealed[:length] for length in range(len(sealed))), sealed + b"x"):
        with pytest.raises(FailedPrecondition):
            vault.open(damaged, "p")


def test_an_old_key_opens_and_the_new_one_seals() -> None:
    """A vault without the old one says so."""
    old, new = Vault(KEY), Vault(OTHER, KEY)
    sealed = old.seal(Secret("s"), "p")
    fresh = new.seal(Secret("s"), "p")

    assert new.open(sealed, "p").reveal() == "s"
    assert new.key_id != old.key_id
    assert Vault(OTHER).open(fresh, "p").reveal() == "s"
    with pytest.raises(FailedPrecondition):
        Vault(OTHER).open(sealed, "p")


def test_a_vault_hears_of_a_key_that_was_made_since(tmp_path: pathlib.Path) -> None:
    """From what another process has sealed with it: it opens that, and seals likewise; one that is given does not."""
    path = tmp_path / "encryption.key"
    running, given = Vault.load(path), Vault.load(path, KEY.hex())
    before = running.seal(Secret("old"), "p")
    path.write_text(f"{OTHER.hex()}\n{path.read_text()}\n")
    sealed = Vault.load(path).seal(Secret("new"), "p")

    assert running.key_id != Vault(OTHER).key_id
    assert ["new", "old"] == [running.open(each, "p").reveal() for each in (sealed, before)]
    assert running.key_id == Vault(OTHER).key_id
    path.write_text("damaged")
    with pytest.raises(FailedPrecondition):
        running.open(Vault(KEY).seal(Secret("s"), "p"), "p")
    assert "old" == running.open(before, "p").reveal()
    with pytest.raises(FailedPrecondition):
        given.open(sealed, "p")


def test_of_several_that_are_given_the_first_seals(tmp_path: pathlib.Path) -> None:
    """The others open."""
    vault = Vault.load(tmp_path / "none", f"{OTHER.hex()},{KEY.hex()}")

    assert vault.key_id == Vault(OTHER).key_id
    assert "s" == vault.open(Vault(KEY).seal(Secret("s"), "p"), "p").reveal()


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{0:>9}".format, "{0!r}".format, lambda it: repr([it])])
def test_a_secret_is_not_shown(show: Callable[[Any], str]) -> None:
    """In no way in which things are printed."""
    assert "canary" not in show(Secret("canary"))


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, copy.copy, hash])
def test_a_secret_is_not_written_down(write: Callable[[Any], Any]) -> None:
    """By no serialiser, and it is no key of a table."""
    with pytest.raises(TypeError):
        write(Secret("canary"))


def test_secrets_compare() -> None:
    """With each other only; an empty one is false."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")


def test_the_key_is_made_once(tmp_path: pathlib.Path) -> None:
    """Of many who start at once all have the same; only its owner reads the file."""
    path = tmp_path / "data" / "encryption.key"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = {vault.key_id for vault in pool.map(lambda _: Vault.load(path), range(16))}

    assert len(ids) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [child.name for child in path.parent.iterdir()] == ["encryption.key"]


def test_a_given_key_is_the_key(tmp_path: pathlib.Path) -> None:
    """In hexadecimal or base64, with either alphabet, and no file is made."""
    path = tmp_path / "encryption.key"
    key = b"\xfb\xff" * 16
    standard, safe = base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode().rstrip("=")
    vaults = [Vault.load(path, text) for text in (key.hex(), f" {key.hex()}\n", standard, safe)]

    assert {vault.key_id for vault in vaults} == {Vault(key).key_id}
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "secret", "ab" * 31, "ab" * 33, "é" * 32, "!" * 44])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    """The remedy is named."""
    with pytest.raises(ValueError, match="openssl rand -hex 32") as caught:
        parse_key(text)

    assert not text or text not in str(caught.value)


def test_a_damaged_key_file_is_not_replaced(tmp_path: pathlib.Path) -> None:
    """What it sealed would be lost."""
    path = tmp_path / "encryption.key"
    path.write_text("damaged")
    with pytest.raises(ValueError, match=r"encryption\.key"):
        Vault.load(path)

    assert path.read_text() == "damaged"


def test_a_file_is_written_once(tmp_path: pathlib.Path) -> None:
    """The second content is not taken."""
    write_once(tmp_path / "f", b"1")
    write_once(tmp_path / "f", b"2")

    assert (tmp_path / "f").read_bytes() == b"1"
