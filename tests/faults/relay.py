"""The way between hosts and a runner, which can be cut: a relay of TCP.

As root it listens in a network namespace of its own, to which a pair of virtual cards leads; to cut the way is to set
the far one down.  Then nothing of what is sent arrives or is acknowledged, nobody is told, and who dials finds no
route.  It takes `ip`.  Anybody else makes the relay stand still: what comes stays in the kernel, and who dials finds
somebody that never answers.  When it goes on, what was said meanwhile comes late, either way.

`python relay.py ADDRESS HERE THERE [NAMESPACE]` relays what dials the one port to the other, of this machine.
"""

import asyncio
import contextlib
import ctypes
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Protocol

_UP_WITHIN_S = 30.0
_BYTES = 65536
_TESTS = ipaddress.ip_network("198.18.0.0/15")
"""For tests (RFC 2544)."""


class Way(Protocol):
    """A way that can be cut."""

    kind: str
    """How it is cut."""
    address: str
    """What to dial."""

    def cut(self) -> None:
        """Let nothing through."""

    def mend(self) -> None:
        """Let through all that has come, and what comes."""


class Namespaced:
    """A relay in a namespace."""

    kind = "a link of a network namespace that is down"

    def __init__(self, far: str, address: str) -> None:
        self._far = far
        self.address = address

    def cut(self) -> None:
        """Let nothing through."""
        _ip("-n", self._far, "link", "set", self._far, "down")

    def mend(self) -> None:
        """Let through all that has come, and what comes."""
        _ip("-n", self._far, "link", "set", self._far, "up")


class Standing:
    """A relay that can be made to stand still."""

    kind = "a relay that stands still"

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self._process = process
        self.address = f"127.0.0.1:{port}"

    def cut(self) -> None:
        """Let nothing through."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def mend(self) -> None:
        """Let through all that has come, and what comes."""
        os.kill(self._process.pid, signal.SIGCONT)


def may_have_namespaces() -> bool:
    """Return whether this process may make namespaces, and cards that lead to them."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError), _linked(f"at{os.getpid()}"):
        return True
    return False


@contextlib.contextmanager
def relaying(here: int, there: int, *, namespaced: bool) -> Iterator[Way]:
    """Relay from one port, of a namespace or of this machine, to one of this machine for the length of the block."""
    with contextlib.ExitStack() as stack:
        name, host = (f"am{os.getpid()}", "") if namespaced else ("", "127.0.0.1")
        if namespaced:
            host = stack.enter_context(_linked(name))
        command = [sys.executable, "-I", "-S", __file__, host, str(here), str(there), name]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        deadline = time.monotonic() + _UP_WITHIN_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection((host, here), 1.0):
                break
            assert process.poll() is None, "the relay has ended"
            assert time.monotonic() < deadline, "the relay does not start"
            time.sleep(0.02)
        yield Namespaced(name, f"{host}:{here}") if namespaced else Standing(process, here)


@contextlib.contextmanager
def _linked(name: str) -> Iterator[str]:
    """Have a namespace with a card of the same name for the length of the block; yield the card's address.

    A card here leads to it.  The two have a network of this process: others may do the same meanwhile.
    """
    near = f"{name}n"
    network = _TESTS[os.getpid() % (_TESTS.num_addresses // 4) * 4]
    here, there = f"{network + 1}/30", f"{network + 2}/30"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", name, "netns", name)
        _ip("addr", "add", here, "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", name, "addr", "add", there, "dev", name)
        _ip("-n", name, "link", "set", name, "up")
        yield str(network + 2)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", near)  # the namespace itself may last, as long as it has connections
        _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _listen(host: str, port: int, namespace: str) -> socket.socket:
    """Return a socket that listens in a namespace, whose process stays where it is."""
    if not namespace:
        return socket.create_server((host, port))
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as ours, open(f"/run/netns/{namespace}") as theirs:
        if libc.setns(theirs.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "no namespace")
        listener = socket.create_server((host, port))
        if libc.setns(ours.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "no way back")
    return listener


async def _serve(listener: socket.socket, there: int) -> None:
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

    server = await asyncio.start_server(relay, sock=listener)
    async with server:
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_BYTES):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(_serve(_listen(sys.argv[1], int(sys.argv[2]), sys.argv[4]), int(sys.argv[3])))
