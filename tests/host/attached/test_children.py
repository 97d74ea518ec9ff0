"""The host's half of its channel to the zygote; the test is the zygote."""

import asyncio
import contextlib
import errno
import signal
import socket

import pytest

from agentmesh.host.attached.children import Zygote
from agentmesh.host.forking.zygote import FORK, UNFORKED
from agentmesh.host.talk.frames import Channel, Kind, Splitter, pack


async def test_a_child_that_cannot_be_had_ends_in_words() -> None:
    """The kernel had no memory for it, or no process id."""
    ours, theirs = socket.socketpair()
    with contextlib.closing(Zygote(ours)) as zygote, theirs:
        child = zygote.take_job()
        channel = Channel(theirs)
        frame = channel.receive()
        assert frame is not None
        number, _ = FORK.unpack(frame[1])
        channel.send(Kind.UNFORKED, UNFORKED.pack(number, errno.ENOMEM))

        how = await child.exited

        assert (Kind.FORK, child.number) == (frame[0], number)
        assert "could not be started: Cannot allocate memory" == how
        child.close()


async def test_a_zygote_that_hangs_is_ended() -> None:
    """One that does nothing of what it is told: its host ends with it, and another is started."""
    ours, theirs = socket.socketpair()
    hung = await asyncio.create_subprocess_exec("sleep", "600")
    with contextlib.closing(Zygote(ours, hung.pid, look_s=0.05)) as zygote, theirs:
        child = zygote.take_job()
        async with asyncio.timeout(60):
            await zygote.gone
            ended = await hung.wait()

        assert -signal.SIGKILL == ended
        child.close()


async def test_a_zygote_that_answers_is_left_alone() -> None:
    """However often it is told something, and though it is slow: a sign of life is enough."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with contextlib.closing(Zygote(ours, look_s=0.05)) as zygote, theirs:
        splitter = Splitter()
        answered = 0
        for _ in range(5):
            zygote.take_job().close()
            async with asyncio.timeout(60):
                kinds: list[int] = []
                while Kind.PING not in kinds:
                    data = await asyncio.get_running_loop().sock_recv(theirs, 4096)
                    kinds += [kind for kind, _ in splitter.feed(data)]
            await asyncio.sleep(0.08)  # more than a look, less than too many
            theirs.send(pack(Kind.PONG))
            answered += 1
            await asyncio.sleep(0.2)  # longer than a zygote that owes an answer has
        assert 5 == answered
        assert not zygote.gone.done()


@pytest.mark.parametrize(("needed", "heard"), [(True, ["installing", "\ufffd", ""]), (False, [])])
async def test_an_app_does_not_say_what_is_prepared_for_it(needed: bool, heard: list[str]) -> None:
    """Once that is done, or where nothing is, the channel is the app's, too."""
    said: list[str] = []
    ours, theirs = socket.socketpair()
    with contextlib.closing(Zygote(ours, prepares=said.append if needed else None)) as zygote, theirs:
        for text in b"installing", b"\xff", b"", b"more", b"":
            theirs.send(pack(Kind.PREPARING, text))
        theirs.send(pack(Kind.LOADED))
        async with asyncio.timeout(60):
            await zygote.loaded

    assert heard == said


async def test_a_zygote_that_ends_is_gone() -> None:
    """Whatever was still to be said to it."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with contextlib.closing(Zygote(ours)) as zygote:
        child = zygote.take_job()
        async with asyncio.timeout(60):
            await zygote.gone

        child.close()
