"""Hosts of one node have users of their own, whichever nursery they are of."""

import os
import pathlib
import tempfile

import pytest

from agentmesh.cluster import places

FIVE = "2000000-2000639"


@pytest.fixture(autouse=True)
def apart(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold nothing that others of this machine might."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_nursery_gets_users_for_as_many_hosts_as_are_left_in_one_piece() -> None:
    """Only root can give hosts users of their own; for others there is nothing to share out."""
    first, second = places.take(FIVE, 4), places.take(FIVE, 4)

    if os.geteuid() == 0:
        assert [("2000000-2000511", 4), ("2000512-2000639", 1)] == [first, second]
        with pytest.raises(RuntimeError, match="all user ids"):
            places.take(FIVE)
    else:
        assert [("", 4), ("", 4)] == [first, second]
