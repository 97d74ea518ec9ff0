"""How services call each other."""

import json

from gateway.edge import contract
from meshkit import client


def test_every_read_of_the_contract_may_be_asked_again() -> None:
    """And nothing else: a peer may have acted before it was gone."""
    contract.import_all(contract.descriptors())
    services = contract.services(contract.descriptors())
    reads = {method.name for service in services for method in service.methods if method.idempotent}

    (policy,) = json.loads(dict(client.options())["grpc.service_config"])["methodConfig"]
    assert reads == {f"/{each['service']}/{each['method']}" for each in policy["name"] if "mesh." in each["service"]}
    assert reads
