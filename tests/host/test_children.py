"""The host's half of its channel to the zygote; the test is the zygote."""

import asyncio
import contextlib
import errno
import socket

from agentmesh.host.children import Zygote
from agentmesh.host.frames import Channel, Kind
from agentmesh.host.zygote import FORK, UNFORKED


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


async def test_a_zygote_that_ends_is_gone() -> None:
    """Whatever was still to be said to it."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with contextlib.closing(Zygote(ours)) as zygote:
        child = zygote.take_job()
        async with asyncio.timeout(10):
            await zygote.gone

        child.close()
