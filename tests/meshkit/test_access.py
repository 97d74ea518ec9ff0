"""Rules decide who gets in."""

import dataclasses

import pytest
from agentmesh_protos.gateway.v1 import options_pb2

from gateway.edge import contract
from meshkit.access import check_access
from meshkit.errors import Denied, Unauthenticated
from meshkit.principal import GUEST, NOBODY, Principal
from meshkit.rules import rule_of

USER = Principal(user="users/u1")
OPERATOR = Principal(user="users/u2", operator=True)
SERVICE = Principal(service="runner")
FOR_USER = Principal(service="gateway", user="users/u1")
HOST = Principal(host="h1")


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        (options_pb2.ACCESS_PUBLIC, [NOBODY, USER, OPERATOR, SERVICE, FOR_USER, HOST]),
        (options_pb2.ACCESS_USER, [USER, OPERATOR, SERVICE, FOR_USER]),
        (options_pb2.ACCESS_OPERATOR, [OPERATOR, SERVICE]),
        (options_pb2.ACCESS_SERVICE, [SERVICE, FOR_USER]),
        (options_pb2.ACCESS_HOST, [HOST]),
        (options_pb2.ACCESS_LOCAL, [USER, OPERATOR, SERVICE, FOR_USER]),
    ],
)
def test_rules_decide_who_gets_in(access: int, allowed: list[Principal]) -> None:
    """Each kind of caller against each rule; a service that acts for a user has that user's rights."""
    for principal in (NOBODY, USER, OPERATOR, SERVICE, FOR_USER, HOST):
        if principal in allowed:
            check_access(principal, access)
        else:
            with pytest.raises((Denied, Unauthenticated)):
                check_access(principal, access)


@pytest.mark.parametrize(
    "access", [number for number in options_pb2.Access.values() if number > options_pb2.ACCESS_PUBLIC]
)
def test_guests_are_let_in_where_the_contract_says_so(access: int) -> None:
    """Nowhere else, although a service acts for them; what is for anybody is for them too."""
    guest = dataclasses.replace(GUEST, service="gateway")

    check_access(guest, options_pb2.ACCESS_PUBLIC)
    check_access(guest, options_pb2.ACCESS_USER, guests=True)
    with pytest.raises(Denied):
        check_access(guest, access)


def test_the_contract_lists_nothing_for_guests() -> None:
    """What guests may call takes a name that they must know, or makes something of their own."""
    contract.import_all(contract.descriptors())
    methods = [method.name for service in contract.services(contract.descriptors()) for method in service.methods]
    open_to_guests = {method.rpartition("/")[2] for method in methods if rule_of(method).guests}

    assert open_to_guests == {
        *("CreateJob", "GetJob", "WatchJob", "GetLock", "AnswerLock"),
        *("CallApp", "GetPayment", "GetFlow"),
    }
