"""The contract as data."""

import pytest
from agentmesh_protos.gateway.v1 import options_pb2

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
        ("/mesh/v1/jobs/x", ["DELETE", "GET"]),
        ("/mesh/v1/jobs/x:cancel", ["POST"]),
        ("/mesh/v1/jobs/x:nothing", ["DELETE", "GET"]),
        ("/mesh/v1/jobs/x/locks/y:answer", ["POST"]),
        ("/mesh/v1/jobs/x/y", []),
        ("/mesh/v1/flows/x/y/z", ["GET"]),
    ],
)
def test_a_path_knows_its_methods(path: str, allowed: list[str]) -> None:
    """For the answer 405."""
    assert contract.Paths(contract.services(contract.descriptors())).allowed(path) == allowed


def test_whoever_is_a_person_may_call_by_rest() -> None:
    """Each method of our own API that users or operators may call has a path under /mesh/v1, and no other has one."""
    people = (options_pb2.ACCESS_PUBLIC, options_pb2.ACCESS_USER, options_pb2.ACCESS_OPERATOR)
    for service in contract.services(contract.descriptors()):
        if service.dialect != contract.TYPED:
            continue
        for method in service.methods:
            assert bool(method.bindings) is (method.access in people), method.name
            assert all(template.startswith("/mesh/v1/") for _, template in method.bindings), method.name
