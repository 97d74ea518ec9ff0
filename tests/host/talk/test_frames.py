"""Frames survive any cutting of the stream, and what is no frame is refused."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmesh.host.talk.frames import BrokenFrame, Channel, Kind, Splitter, pack


@given(payloads=st.lists(st.binary(max_size=50), max_size=10), step=st.integers(1, 40))
def test_frames_survive_any_cutting(payloads: list[bytes], step: int) -> None:
    """However the bytes arrive, the same frames come out."""
    stream = b"".join(pack(Kind.EVENT, payload) for payload in payloads)
    splitter = Splitter()

    found = [frame for start in range(0, len(stream), step) for frame in splitter.feed(stream[start : start + step])]

    assert [(Kind.EVENT, payload) for payload in payloads] == found


def test_what_is_no_frame_is_refused() -> None:
    """A length of nonsense is not waited for."""
    with pytest.raises(BrokenFrame):
        list(Splitter().feed(b"\xff\xff\xff\xff\x01"))


def test_a_channel_ends_when_its_peer_closes() -> None:
    """Frames that were sent arrive first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Channel(theirs).send(Kind.RUN, b"x")
        theirs.close()
        channel = Channel(ours)

        assert (Kind.RUN, b"x") == channel.receive()
        assert channel.receive() is None
