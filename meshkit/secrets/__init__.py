"""Secrets: sealed at rest (`sealing`), hidden where they are shown, and handed to who needs them."""

from meshkit.secrets.sealing import (
    KEY_BYTES,
    MASK,
    Secret,
    Vault,
    parse_key,
    parse_keys,
    read_keys,
    write_once,
)

__all__ = ["KEY_BYTES", "MASK", "Secret", "Vault", "parse_key", "parse_keys", "read_keys", "write_once"]
