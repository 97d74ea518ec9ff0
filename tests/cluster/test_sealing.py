"""What is handed to an actor of Ray."""

import pytest

from agentmesh.cluster.sealing import Key, NotSealed, seal


def test_what_is_sealed_is_read_by_its_key_alone() -> None:
    """Nor can it be changed on the way."""
    ours, others = Key(), Key()
    sealed = seal(b"a badge", ours.public)

    assert b"a badge" == ours.open(sealed)
    assert b"a badge" not in sealed
    for broken in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:40], b""):
        with pytest.raises(NotSealed):
            ours.open(broken)
    with pytest.raises(NotSealed):
        others.open(sealed)
