"""The way between hosts and a runner, which can be cut: a relay of TCP, a process that can be made to stand still.

It is no packet filter, which would take root's rights: what comes stays in the kernel, nobody is told, and who dials
finds somebody that never answers.  When it goes on, what was said meanwhile comes late.

`python relay.py HERE THERE` relays what dials the one port of this machine to the other.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

_UP_WITHIN_S = 30.0
_BYTES = 65536


class Relay:
    """A relay that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: str) -> None:
        self._process = process
        self.address = address
        """What to dial."""

    def cut(self) -> None:
        """Let nothing through."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def mend(self) -> None:
        """Let through all that has come, and what comes."""
        os.kill(self._process.pid, signal.SIGCONT)


@contextlib.contextmanager
def relaying(here: int, there: int) -> Iterator[Relay]:
    """Relay from one port of this machine to another for the length of the block."""
    process = subprocess.Popen([sys.executable, "-I", "-S", __file__, str(here), str(there)], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _UP_WITHIN_S
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", here), 1.0):
                break
            assert process.poll() is None, "the relay has ended"
            assert time.monotonic() < deadline, "the relay does not start"
            time.sleep(0.02)
        yield Relay(process, f"127.0.0.1:{here}")
    finally:
        process.kill()
        process.wait()


async def _serve(here: int, there: int) -> None:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", there)
            with contextlib.closing(far_writer):
                up = asyncio.create_task(_copy(reader, far_writer))
                down = asyncio.create_task(_copy(far_reader, writer))
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                up.cancel()
                down.cancel()
                await asyncio.gather(up, down, return_exceptions=True)

    server = await asyncio.start_server(relay, "127.0.0.1", here)
    async with server:
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_BYTES):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
