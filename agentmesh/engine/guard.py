"""Requests of agents go only where the mesh may call: `meshkit.outgoing`, by the library that models' clients take."""

from typing import Any

import httpx2

from meshkit import outgoing
from meshkit.addresses import Refused

__all__ = ["Refused", "client"]


def client(*, private: bool, timeout_s: float, **options: Any) -> httpx2.AsyncClient:
    """Return a client all of whose requests are guarded; close it.  Its arguments are `meshkit.outgoing`'s."""
    made: httpx2.AsyncClient = outgoing.client(httpx2, private=private, timeout_s=timeout_s, **options)
    return made
