"""Who counts as a program of this machine."""

from typing import Any

import pytest

from gateway.config import Config
from gateway.http.local import callers

HERE = {"x-forwarded-for": "192.0.2.2", "x-mesh-base-url": "http://127.0.0.1:3370"}
"""What Envoy says of one: of a loopback connection it names an address of the machine."""


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (HERE, True),
        ({**HERE, "x-mesh-base-url": "http://localhost:5246"}, True),
        ({**HERE, "x-mesh-base-url": "http://[::1]:3370"}, True),
        ({**HERE, "origin": "http://localhost:5173"}, True),
        ({**HERE, "origin": "https://app.example.com"}, True),
        ({**HERE, "origin": "https://app.example.com.evil.example"}, False),
        ({**HERE, "origin": "null"}, False),
        ({**HERE, "origin": "http://["}, False),
        ({**HERE, "x-mesh-base-url": "http://rebound.example"}, False),
        ({**HERE, "x-mesh-base-url": "http://localhost.evil.example"}, False),
        ({**HERE, "x-forwarded-for": "198.51.100.7,192.0.2.2"}, False),
        ({**HERE, "forwarded": "for=198.51.100.7"}, False),
        ({}, False),
    ],
)
def test_a_call_from_here(metadata: dict[str, str], expected: bool) -> None:
    """By what came through Envoy; who comes another way is nobody."""
    is_local = callers(Config(origins={"codex": ["https://app.example.com"]}))

    assert is_local(metadata) is expected


@pytest.mark.parametrize("changes", [{"host": "0.0.0.0"}, {"host": "192.0.2.2"}, {"local_access": "refuse"}])
def test_a_mesh_that_asks_everybody(changes: dict[str, Any]) -> None:
    """Because others can reach it, or because it is told to."""
    assert not callers(Config(**changes))(HERE)
