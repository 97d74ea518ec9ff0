"""Secrets that people hand to the mesh: sealed at rest, and never printed.

A `Vault` seals a text for one place (`agents/{id}#api_key`) with AES-256-GCM.  The place is authenticated with it, so
that what is sealed for one place cannot be opened in another.  What is sealed names the key that sealed it, so that
keys can be changed later: the vault opens with whichever of its keys it was.

    vault = Vault.load(data_dir / "encryption.key")             # a key in each line, of which the first seals
    sealed = vault.seal(Secret("sk-…"), "agents/1#api_key")     # bytes, for a table
    vault.open(sealed, "agents/1#api_key").reveal()

A `Secret` is a text that no log, error or serialiser takes by accident.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import pathlib
import secrets
from collections.abc import Sequence
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from meshkit.errors import FailedPrecondition

KEY_BYTES = 32
_FORM = b"\x01"
"""Of what is sealed: this byte, the key's id, a nonce, and the text with its tag."""
_ID_BYTES = 4
_NONCE_BYTES = 12  # NIST SP 800-38D §8.2: 96 bits, random
MASK = "••••"
"""What stands where a secret is not shown; sent back, it means what is kept."""


class Secret:
    """A text that only `reveal` gives away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text: for the one call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(errors="replace"), other._text.encode(errors="replace"))

    __hash__ = None  # type: ignore[assignment]  # a hash would be kept where nobody looks

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not to be written down")


class Vault:
    """Seals and opens secrets."""

    def __init__(self, key: bytes, *old: bytes) -> None:
        """`key` seals; what `old` ones sealed can be opened still.  Raises `ValueError` for one of a wrong size."""
        self._ciphers: dict[bytes, AESGCM] = {}
        self._current = b""
        self._path: pathlib.Path | None = None
        """Where the keys stand, if they may be others by now."""
        self._take((key, *old))

    def _take(self, keys: Sequence[bytes]) -> None:
        if any(len(each) != KEY_BYTES for each in keys):
            raise ValueError(f"a key must have {KEY_BYTES} bytes")
        self._ciphers = {_id_of(each): AESGCM(each) for each in reversed(keys)}
        self._current = _id_of(keys[0])

    @classmethod
    def load(cls, path: pathlib.Path, given: str = "") -> "Vault":
        """Return a vault with the keys in the file, which is made on first use, or with those that were `given`.

        Given keys are 32 bytes in hexadecimal or base64 each, with commas between.  Raises `ValueError`, without them,
        for anything else.
        """
        if given:
            return cls(*parse_keys(given))
        if not path.exists():
            write_once(path, secrets.token_hex(KEY_BYTES).encode())
        vault = cls(*read_keys(path))
        vault._path = path
        return vault

    @property
    def key_id(self) -> str:
        """The id of the key that seals: 8 hexadecimal digits, which say nothing about it."""
        return self._current.hex()

    def seal(self, secret: Secret, place: str) -> bytes:
        """Return the secret, sealed for `place`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        head = _FORM + self._current
        sealed = self._ciphers[self._current].encrypt(nonce, secret.reveal().encode(), head + place.encode())
        return head + nonce + sealed

    def open(self, sealed: bytes, place: str) -> Secret:
        """Return what was sealed for `place`.

        Raises `FailedPrecondition`, which says to set it anew, if it was sealed by a key that the vault has not, for
        another place, or is damaged.
        """
        head, rest = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        cipher = self._ciphers.get(head[1:]) or self._newer(head)
        if head[:1] != _FORM or cipher is None:
            raise _unreadable(place)
        try:
            plain = cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + place.encode())
        except (InvalidTag, ValueError):
            raise _unreadable(place) from None
        return Secret(plain.decode())

    def _newer(self, head: bytes) -> AESGCM | None:
        """Return the cipher of a key that we do not know: one that has been made since, which others seal with."""
        if self._path is None or head[:1] != _FORM:
            return None
        with contextlib.suppress(ValueError, OSError):  # then it is as if there were none: those that we have are good
            self._take(read_keys(self._path))
        return self._ciphers.get(head[1:])


def read_keys(path: pathlib.Path) -> list[bytes]:
    """Return the keys in a file, of which the first seals.  Raises `ValueError`, without them, if they are none."""
    try:
        return parse_keys(",".join(path.read_text(encoding="ascii").split()))
    except ValueError:
        raise ValueError(
            f"{path.name} does not hold a key of {KEY_BYTES} bytes in hexadecimal: put the right one back; without "
            "it, what it has sealed cannot be opened"
        ) from None


def parse_keys(text: str) -> list[bytes]:
    """Return keys with commas between, as `parse_key` has each."""
    return [parse_key(each) for each in text.split(",")]


def parse_key(text: str) -> bytes:
    """Return a key of 32 bytes from hexadecimal or base64; raise `ValueError`, without it, if it is not one."""
    for decode in (bytes.fromhex, _from_base64):
        with contextlib.suppress(ValueError):
            if len(key := decode(text.strip())) == KEY_BYTES:
                return key
    raise ValueError(f"must be {KEY_BYTES} bytes in hexadecimal or base64, as `openssl rand -hex 32` makes")


def write_once(path: pathlib.Path, content: bytes) -> None:
    """Write a file that only its owner can read, unless it is there: of several who try at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Write aside, then link: nobody reads half of it.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError from None


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"agentmesh key id" + key).digest()[:_ID_BYTES]


def _unreadable(place: str) -> FailedPrecondition:
    name, _, field = place.partition("#")
    return FailedPrecondition(
        f"the {field or 'secret'} of {name} was sealed with another key than this mesh has: set it anew",
        resource=name,
        field=field,
    )
