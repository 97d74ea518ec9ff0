"""Bytes on their way into a socket that does not take them all at once."""

import collections
import itertools
import socket

# Pieces in one system call; the kernel takes 1024.
_PIECES_MAX = 64


class Unsent:
    """What a non-blocking socket has not taken yet, in order."""

    __slots__ = ("_pieces", "bytes_count")

    def __init__(self) -> None:
        self._pieces: collections.deque[bytes | memoryview] = collections.deque()
        self.bytes_count = 0
        """How much there is."""

    def add(self, data: bytes) -> None:
        """Add behind what is there."""
        self._pieces.append(data)
        self.bytes_count += len(data)

    def write(self, sock: socket.socket) -> int:
        """Write what the socket takes now; return how much it was.  Raises `OSError` if the other end is closed."""
        total = 0
        while self._pieces:
            try:
                sent = sock.sendmsg(list(itertools.islice(self._pieces, _PIECES_MAX)))
            except BlockingIOError:
                break
            total += sent
            self.bytes_count -= sent
            while sent:
                piece = self._pieces[0]
                if sent < len(piece):
                    self._pieces[0] = memoryview(piece)[sent:]
                    break
                sent -= len(piece)
                self._pieces.popleft()
        return total

    def clear(self) -> None:
        """Forget it: nobody reads it."""
        self._pieces.clear()
        self.bytes_count = 0
