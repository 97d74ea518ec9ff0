"""Rules decide who gets in."""

import pytest
from mesh.gateway.v1 import options_pb2

from meshkit.access import check_access
from meshkit.errors import Denied, Unauthenticated
from meshkit.principal import NOBODY, Principal

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
