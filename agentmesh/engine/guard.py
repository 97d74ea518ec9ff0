"""Requests of agents go only where the mesh may call: `meshkit.net.outgoing`, by the library of models' clients."""

from typing import Any

import httpx2

from meshkit.net import outgoing
from meshkit.net.addresses import Refused

__all__ = ["Refused", "client"]


def client(*, private: bool, timeout_s: float, **options: Any) -> httpx2.AsyncClient:
    """Return a client all of whose requests are guarded; close it.  Its arguments are `meshkit.net.outgoing`'s."""
    made: httpx2.AsyncClient = outgoing.client(httpx2, private=private, timeout_s=timeout_s, **options)
    return made
