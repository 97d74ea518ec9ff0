"""What seals secrets in tests of the runner."""

from meshkit.secrets import KEY_BYTES, Vault
from services.runner.callers.masking import Masks, sealing

VAULT = Vault(b"k" * KEY_BYTES)
SEALING = sealing(VAULT)
"""The functions of a database's migrations."""


def masks() -> Masks:
    """Return masks that know no app."""
    return Masks(VAULT)
