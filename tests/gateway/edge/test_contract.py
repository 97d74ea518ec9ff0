"""The contract as data."""

import pytest

from gateway.edge import contract


def test_no_two_methods_have_the_same_path() -> None:
    """Envoy would take one of them."""
    bindings = [
        binding
        for service in contract.services(contract.descriptors())
        for method in service.methods
        for binding in method.bindings
    ]

    assert len(bindings) == len(set(bindings))


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/flow", ["GET"]),
        ("/flow/", ["GET"]),
        ("/role/x", ["DELETE", "GET", "PUT"]),
        ("/role/x/y", []),
        ("/-/a/b/c", ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]),
        ("/nothing", []),
    ],
)
def test_a_path_knows_its_methods(path: str, allowed: list[str]) -> None:
    """For the answer 405."""
    assert contract.Paths(contract.services(contract.descriptors())).allowed(path) == allowed
