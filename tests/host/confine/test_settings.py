"""What an operator may say of isolation."""

import pytest

from agentmesh.host.confine import Settings, identity


def test_what_is_said_is_read() -> None:
    """The folders as absolute paths, the users as a range."""
    said = {
        "AGENTMESH_ISOLATION": "require",
        "AGENTMESH_UIDS": "5000-5999",
        "AGENTMESH_PRIVATE_DIRS": "/data::/run/mesh/",
    }

    assert Settings(isolation="require", uids=(5000, 5999), private=("/data", "/run/mesh")) == Settings.of(said)
    assert Settings(uids=(2_000_000_000, 2_000_065_535)) == Settings.of({})
    assert Settings.of({"AGENTMESH_UIDS": "keep"}).uids is None


@pytest.mark.parametrize(
    "said",
    [
        {"AGENTMESH_ISOLATION": "on"},
        {"AGENTMESH_UIDS": "root"},
        {"AGENTMESH_UIDS": "0-100000"},
        {"AGENTMESH_UIDS": "6000-5000"},
        {"AGENTMESH_UIDS": "5000-5100"},
        {"AGENTMESH_UIDS": "5000-99999999999"},
    ],
)
def test_what_cannot_be_is_refused_by_name(said: dict[str, str]) -> None:
    """With what can be said."""
    (name,) = said
    with pytest.raises(ValueError, match=name):
        Settings.of(said)


def test_no_two_hosts_share_a_user() -> None:
    """Until there are more than there are users for."""
    settings = Settings(uids=(5000, 5000 + 3 * 128 - 1))
    users = [identity.users(settings, place) for place in range(4)]
    taken = [{each.of_app, *(each.of_job(place) for place in range(127))} for each in users]

    assert [128] * 4 == [len(each) for each in taken]
    assert 3 * 128 == len(taken[0] | taken[1] | taken[2])
    assert taken[0] == taken[3]
    assert max(taken[2]) == users[2].last == 5383
