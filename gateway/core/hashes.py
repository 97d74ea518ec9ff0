"""Hashes that buyers and sellers of a job compute alike (MIP-004)."""

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

from meshkit.errors import Invalid


def input_hash(identifier: str, data: Mapping[str, Any] | None) -> str:
    """Return SHA-256 of `{identifier};{data as RFC 8785 JSON}`, in hex; no data hash as `{}`.

    The identifier is the purchaser's, or `{job}:{lock}` for an answer to a lock.  Raises `Invalid`, naming
    `input_data`, for what RFC 8785 cannot say the same everywhere: integers beyond 2**53.
    """
    try:
        canonical = rfc8785.dumps(dict(data or {}))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise Invalid("input_data cannot be hashed", {"input_data": [str(error)[:200]]}) from None
    return hashlib.sha256(identifier.encode() + b";" + canonical).hexdigest()
