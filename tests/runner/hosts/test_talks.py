"""Calls whose answers come in parts: what the runner holds of them is bounded, whoever does not keep to the window."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from agentmesh_protos.runner.v1 import app_pb2, host_pb2

from meshkit.errors import Unavailable
from services.runner.hosts.links import Link
from services.runner.hosts.talks import Talk
from tests.runner.stack import DEADLINE_S

PIECE = bytes(64 * 1024)
WINDOW = 256 * 1024


class Called:
    """A host that was called, by a client that may talk."""

    def __init__(self, link: Link, talk: Talk, call_id: int) -> None:
        self.link = link
        self.talk = talk
        self._call_id = call_id

    def says(self, **part: object) -> None:
        """Have the app say something."""
        said = app_pb2.AppPart(**part)  # type: ignore[arg-type]
        self.link.hear(host_pb2.CallPart(call_id=self._call_id, part=said))

    async def told(self) -> list[app_pb2.AppPart]:
        """Return what the app is told next."""
        async with asyncio.timeout(DEADLINE_S):
            messages = await self.link.outgoing(self.link.generation)
        return [message.call_part.part for message in messages if message.HasField("call_part")]


@contextlib.contextmanager
def called() -> Iterator[Called]:
    """Call a host for the length of the block."""
    link = Link("h", "demo")
    link.attach()
    call = host_pb2.Call()
    with link.talk(call) as talk:
        yield Called(link, talk, call.call_id)


async def test_an_app_that_sends_on_though_nobody_takes_it_is_cut_off() -> None:
    """Its client hears so, and it hears that nobody listens; nothing more is kept."""
    with called() as it:
        for _ in range(100):
            it.says(data=PIECE)

        with pytest.raises(Unavailable, match="more than its client takes"):
            await it.talk.hear()
        assert [True] == [part.HasField("close") for part in await it.told()]


async def test_who_keeps_to_the_window_is_heard_to_the_end() -> None:
    """However much it is, and however slowly it is taken."""
    with called() as it:
        for _ in range(100):
            for _ in range(WINDOW // len(PIECE)):
                it.says(data=PIECE)
            for _ in range(WINDOW // len(PIECE)):
                assert (heard := await it.talk.hear()) is not None
                assert PIECE == heard.part.data


async def test_a_client_is_not_listened_to_while_its_words_wait() -> None:
    """All that it says reaches the app, a window at a time."""
    with called() as it:

        async def speak() -> None:
            for _ in range(40):
                await it.talk.pass_on(app_pb2.AppPart(data=PIECE))

        speaking = asyncio.create_task(speak())
        sizes: list[int] = []
        while sum(sizes) < 40 * len(PIECE):
            told = sum(len(part.data) for part in await it.told())
            it.says(taken_bytes=told)
            sizes.append(told)
        await speaking

    assert max(sizes) <= WINDOW


async def test_a_client_that_sends_on_though_the_app_does_not_take_it_is_cut_off() -> None:
    """Both sides hear so."""
    with called() as it:
        told: list[app_pb2.AppPart] = []
        for _ in range(40):
            await it.talk.pass_on(app_pb2.AppPart(data=PIECE))
            told += [] if it.talk.is_over else await it.told()

        with pytest.raises(Unavailable, match="more than the app takes"):
            await it.talk.hear()
        assert [True] == [part.HasField("close") for part in await it.told()]
    assert 2 * WINDOW == sum(len(part.data) for part in told)


@pytest.mark.parametrize("size", [1, 5, 4 * 1024 * 1024])
async def test_a_last_word_is_heard_behind_a_window_that_is_full(size: int) -> None:
    """Of pieces of a few bytes, as an app has them that writes word by word, and of one message beyond the window."""
    pieces = max(WINDOW // size, 1)
    with called() as it:
        for _ in range(pieces):
            it.says(data=bytes(size))
        it.says(close=app_pb2.AppClose(code=1000))

        for _ in range(pieces):
            assert (heard := await it.talk.hear()) is not None
            assert size == len(heard.part.data)
        assert (last := await it.talk.hear()) is not None
        assert 1000 == last.part.close.code


async def test_a_client_that_reads_nothing_is_told_what_is_taken_in_one_part() -> None:
    """However many small messages it has sent."""
    with called() as it:
        for _ in range(100_000):
            it.says(taken_bytes=1)
        it.says(data=PIECE)
        it.says(taken_bytes=2)

        heard = [await it.talk.hear() for _ in range(3)]
    assert [100_000, 0, 2] == [each.part.taken_bytes for each in heard if each is not None]


async def test_a_client_ends_its_call_behind_a_message_beyond_the_window() -> None:
    """Only who goes on sending is cut off."""
    with called() as it:
        await it.talk.pass_on(app_pb2.AppPart(data=bytes(1024 * 1024)))
        assert [1024 * 1024] == [len(part.data) for part in await it.told()]
        await it.talk.pass_on(app_pb2.AppPart(close=app_pb2.AppClose(code=1000)))

        assert [1000] == [part.close.code for part in await it.told()]
        it.talk.check()
