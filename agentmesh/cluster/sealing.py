"""Bytes that only one process can read, whoever carries them.

Ray keeps what an actor is made with in its tables, and carries what it is called with over wires of its own.  So what
a host must be handed, a badge and variables, is sealed for a key that its actor has made, and that never leaves it:
X25519, HKDF and ChaCha20-Poly1305, one fresh key of ours for each message.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32
_NONCE = bytes(12)  # a key seals one message
_PURPOSE = b"agentmesh host start"


class NotSealed(Exception):
    """These bytes were not sealed for this key, or were changed on the way."""


class Key:
    """A key of one process."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()

    @property
    def public(self) -> bytes:
        """What others seal with."""
        return self._private.public_key().public_bytes_raw()

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed.  Raises `NotSealed`."""
        theirs, data = sealed[:_KEY_BYTES], sealed[_KEY_BYTES:]
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(theirs))
            return _cipher(shared, theirs + self.public).decrypt(_NONCE, data, None)
        except (ValueError, InvalidTag) as error:
            raise NotSealed("what was sent was not sealed for this process") from error


def seal(data: bytes, public: bytes) -> bytes:
    """Return `data` as only the process that has made the key `public` can read it.  Raises `ValueError`."""
    ours = X25519PrivateKey.generate()
    theirs = ours.public_key().public_bytes_raw()
    shared = ours.exchange(X25519PublicKey.from_public_bytes(public))
    return theirs + _cipher(shared, theirs + public).encrypt(_NONCE, data, None)


def _cipher(shared: bytes, salt: bytes) -> ChaCha20Poly1305:
    derived = HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=salt, info=_PURPOSE).derive(shared)
    return ChaCha20Poly1305(derived)
