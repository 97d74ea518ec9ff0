"""Input hashes, against values that other implementations computed."""

import hashlib
from typing import Any

import pytest

from gateway.core.hashes import input_hash
from meshkit.errors import Invalid

# Printed by real runs in the notebook, and recomputed independently.
KNOWN = [
    (
        "prime-valid",
        {"start": "0", "end": "100000", "tasks": "10"},
        "5bc06e91746525903d5f5d0d9d3e0cc873df900aa033f096b68a34e08e916269",
    ),
    (
        "9a74866033f0e778c8ee734e12",
        {"email": "user@example.com", "username": "PaymentUser", "password": "secretpass123"},
        "ce7f2ce5ba8bf68b6fc226f9a6024ef1628fd419df98bb848b7b9ba564bd8cf8",
    ),
    (
        "ac782a97953ce4bfcfa25e6fff",
        {"email": "user@example.com", "username": "PaymentUser", "password": "secretpass123"},
        "7c9ab94cd55e9c49dcbf65122f7446df2464d3945778624b1f67313f6aa749ec",
    ),
    (
        "3dcc8fa0662cf9bb236dcedb06",
        {"name": "HITL Test User", "date": "2025-12-18"},
        "23f87ba3b375a0a5ecbc2d56ff2da082a3752c8d43cb9552a7495bd43c7f0e12",
    ),
    (
        "69391bdc6dd6594b06ce8ff2:129cc7b8-d4ba-4918-a6f0-7465a17701c7",
        {"greeting": "Hello from HITL Demo!"},
        "fd78b3075fef311586e38fee323cbc91449113da3870b8e980c58e9f622eef32",
    ),
]
CANONICAL: list[tuple[Any, str]] = [
    ({"b": 2, "a": 1}, '{"a":1,"b":2}'),
    ({"f": 1.0}, '{"f":1}'),
    ({"f": 1e-7}, '{"f":1e-7}'),
    ({"f": 1e20}, '{"f":100000000000000000000}'),
    ({"f": 1e21}, '{"f":1e+21}'),
    ({"z": -0.0}, '{"z":0}'),
    ({"x": 0.1, "n": None, "t": True}, '{"n":null,"t":true,"x":0.1}'),
    ({"\U0001f600": 1, "\ufb33": 2}, '{"\U0001f600":1,"\ufb33":2}'),
    ({}, "{}"),
    (None, "{}"),
]


@pytest.mark.parametrize(("identifier", "data", "expected"), KNOWN)
def test_the_notebooks_hashes(identifier: str, data: dict[str, str], expected: str) -> None:
    """The hashes that real runs printed come out again."""
    assert input_hash(identifier, data) == expected


@pytest.mark.parametrize(("data", "canonical"), CANONICAL)
def test_data_is_canonical(data: Any, canonical: str) -> None:
    """Order, numbers and texts are written as RFC 8785 says; no data is an empty object."""
    assert input_hash("ü", data) == hashlib.sha256(f"ü;{canonical}".encode()).hexdigest()


def test_what_cannot_be_canonical_is_refused() -> None:
    """An integer that other languages would round is refused, naming the field."""
    with pytest.raises(Invalid) as caught:
        input_hash("x", {"n": 2**60})
    assert list(caught.value.fields) == ["input_data"]
