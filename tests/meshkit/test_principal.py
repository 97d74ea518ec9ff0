"""Who calls, and what is whose."""

import dataclasses

import pytest

from meshkit.errors import NotFound
from meshkit.principal import GUEST, NOBODY, Principal, acting, caller, check_owner, on_own_behalf


def test_a_caller_is_known_for_the_block() -> None:
    """And nobody calls outside of it, or where a service asks for itself."""
    ada = Principal(user="users/u1", jti="t1")
    with acting(ada):
        assert caller() == ada
        with on_own_behalf():
            assert caller() == NOBODY
        assert caller() == ada

    assert caller() == NOBODY


def test_what_belongs_to_others_is_not_found() -> None:
    """Not "denied": that would say it exists."""
    with acting(Principal(user="users/u1")):
        check_owner("users/u1", "jobs/1")
        with pytest.raises(NotFound):
            check_owner("users/u2", "jobs/1")
    for principal in (Principal(user="users/u2", operator=True), Principal(service="runner")):
        with acting(principal):
            check_owner("users/u1", "jobs/1")


def test_guests_share_what_guests_start_and_nothing_else() -> None:
    """They are one user, which no service makes see all."""
    with acting(GUEST):
        check_owner(GUEST.user, "jobs/1")
        with pytest.raises(NotFound):
            check_owner("users/u1", "jobs/1")
        with pytest.raises(NotFound):
            check_owner("", "jobs/1")
    assert not dataclasses.replace(GUEST, service="gateway").sees_all
