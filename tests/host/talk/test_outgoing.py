"""What a worker says reaches its host in order, and only a job that is held waits."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentmesh import KodosumiError
from agentmesh.host.talk.frames import Kind, Splitter, pack
from agentmesh.host.talk.outgoing import Outgoing, Talk

DEADLINE_S = 60.0


class Line:
    """A worker's end of a socket, and what has arrived at the other."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self.is_lost = False
        self.outgoing = Outgoing(asyncio.get_running_loop(), self._ours, self._lose)
        self._splitter = Splitter()

    def _lose(self) -> None:
        self.is_lost = True

    def close(self) -> None:
        """Close both ends."""
        self._ours.close()
        self._theirs.close()

    def hang_up(self) -> None:
        """Close the host's end."""
        self._theirs.close()

    async def hear(self, count: int) -> list[bytes]:
        """Read that many frames."""
        heard: list[bytes] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(heard) < count:
                data = await asyncio.get_running_loop().sock_recv(self._theirs, 65536)
                heard += [payload for _, payload in self._splitter.feed(data)]
        return heard


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    """Yield a line."""
    with contextlib.closing(Line()) as line:
        yield line


def frame(number: int, size: int = 0) -> bytes:
    """Return a frame that names its number."""
    return pack(Kind.EVENT, f"{number:06}".encode() + b"x" * size)


def numbers(heard: list[bytes]) -> list[int]:
    """Return the numbers of frames."""
    return [int(payload[:6]) for payload in heard]


async def test_frames_arrive_in_order_however_they_were_said(line: Line) -> None:
    """More than the socket takes at once; what was put goes ahead of what is said behind it."""
    talk = Talk()
    line.outgoing.put(frame(0))
    for number in range(1, 200):
        line.outgoing.say(talk, frame(number, 10_000))
    line.outgoing.put(frame(200))

    assert list(range(201)) == numbers(await line.hear(201))


async def test_a_held_job_keeps_what_it_says(line: Line) -> None:
    """Others go ahead of it; once it may go on, everything is there, in order."""
    talk, other = Talk(), Talk()
    line.outgoing.hold(talk)
    line.outgoing.say(talk, frame(1))
    line.outgoing.say(talk, frame(2))
    line.outgoing.say(other, frame(3))
    line.outgoing.go_on(talk)
    line.outgoing.say(talk, frame(4))

    assert [3, 1, 2, 4] == numbers(await line.hear(4))


async def test_a_task_of_a_held_job_waits(line: Line) -> None:
    """If it has said much; others do not."""
    talk, other = Talk(), Talk()
    line.outgoing.hold(talk)
    line.outgoing.say(talk, frame(1, 1_000_000))
    waiting = asyncio.ensure_future(line.outgoing.settle(talk))
    async with asyncio.timeout(DEADLINE_S):
        await line.outgoing.settle(other)
    before = waiting.done()
    line.outgoing.go_on(talk)

    assert [1] == numbers(await line.hear(1))
    async with asyncio.timeout(DEADLINE_S):
        await waiting
    assert not before


async def test_a_thread_of_a_held_job_waits(line: Line) -> None:
    """It is back once what it said has gone out."""
    talk = Talk()
    line.outgoing.hold(talk)
    saying = asyncio.ensure_future(asyncio.to_thread(line.outgoing.say, talk, frame(1)))
    line.outgoing.say(talk, frame(0))
    before = saying.done()
    line.outgoing.go_on(talk)

    assert [0, 1] == sorted(numbers(await line.hear(2)))
    await saying
    assert not before


async def test_what_cannot_wait_fails_beyond_what_is_kept(line: Line) -> None:
    """The loop is not blocked, nothing that was taken is lost."""
    talk = Talk()
    line.outgoing.hold(talk)
    for number in range(8):
        line.outgoing.say(talk, frame(number, 1_000_000))
    with pytest.raises(KodosumiError, match="await the tracer's methods"):
        line.outgoing.say(talk, frame(8, 1_000_000))
    line.outgoing.go_on(talk)
    line.outgoing.say(talk, frame(9))

    assert [*range(8), 9] == numbers(await line.hear(9))


async def test_a_host_that_has_gone_is_noticed(line: Line) -> None:
    """With the first word to it."""
    line.hang_up()

    line.outgoing.send(frame(1))

    assert line.is_lost
