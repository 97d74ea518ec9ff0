"""Frames on the sockets between a host and its children: length, kind, payload.

A frame is a 4-byte big-endian length of what follows, one byte of kind, and a payload, mostly a protobuf message of
`mesh.runner.v1`.  On the socket of a worker that jobs share, the payload is behind the job's number (`NUMBER`).
A job's own process writes synchronously: what was emitted has left it, even if the next line kills it.
"""

import collections
import enum
import socket
import struct
import threading
from collections.abc import Iterator

LENGTH = struct.Struct("!I")
NUMBER = struct.Struct("!Q")
COUNT = struct.Struct("!Q")
GRACE = struct.Struct("!d")
FRAME_BYTES_MAX = 64 * 1024 * 1024


class Kind(enum.IntEnum):
    """What a frame carries."""

    # From a child.
    LOADED = 1  # Loaded, from the zygote
    EXITED = 2  # 8 bytes of child id, 4 of waitpid status, from the zygote
    FORKED = 19  # 8 bytes of child id, 4 of process id, from the zygote
    UNFORKED = 17  # 8 bytes of child id, 4 of errno, from the zygote
    PONG = 41  # nothing: what was sent before the PING has been done
    PREPARING = 43  # text in UTF-8, from what will be the zygote: what it does first, nothing when that is done
    STARTS = 42  # nothing, from the zygote ahead of LOADED: the app does something when it starts
    # From a worker.
    BACK = 20  # nothing: the job was not taken up, another worker may
    BLOCKED = 21  # nothing: the job has kept the loop for too long
    UNBLOCKED = 22  # nothing, number 0: the loop goes on, or has begun to
    LEFT = 23  # nothing: the job has ended, but left something that goes on
    GONE = 24  # nothing: that has ended too
    RUNNING = 3  # nothing: the job's process has taken it up
    EVENT = 4  # Event, from a job
    OUTCOME = 5  # Outcome, the last frame of a job
    CALL_RESULT = 6  # CallResult, from the handler
    LOCK = 7  # OpenLock, from a job
    STEP = 25  # StepResult, from a job
    FILE_CALL = 26  # FileCall, from a job
    ASK_RESULT = 8  # AskResult, from the handler
    LOCK_CHECK = 9  # LockCheck, from the handler
    CALL_PART = 18  # CallPart, from the handler and to it
    # To a child.
    FORK = 10  # 8 bytes of child id, 1 of role, with file descriptors, to the zygote
    SIGNAL = 11  # 8 bytes of child id, 1 of signal number, to the zygote
    PING = 40  # nothing, to the zygote
    RUN = 12  # Run, to a job
    CALL = 13  # Call, to the handler
    LOCK_END = 14  # LockEnd, to a job
    KEPT = 33  # 8 bytes of a count, to a job: so many more of its steps are on disk
    ASK = 15  # Ask, to the handler
    CHECK_LOCK = 16  # CheckLock, to the handler
    CANCEL = 30  # 8 bytes of grace in seconds (IEEE 754), to a worker
    HOLD = 31  # nothing, to a worker: send no more of the job's for now
    PAUSE = 34  # nothing, to a worker: the job waits with its next step, lock or event
    RESUME = 35  # nothing, to a worker: it goes on
    FILE_RESULT = 36  # FileResult, to a job
    GO_ON = 32  # nothing, to a worker: send again


class BrokenFrame(Exception):
    """The stream does not hold frames of ours."""


def pack(kind: Kind, payload: bytes = b"") -> bytes:
    """Return a frame as bytes."""
    return LENGTH.pack(len(payload) + 1) + bytes((kind,)) + payload


def pack_for(number: int, kind: Kind, payload: bytes = b"") -> bytes:
    """Return one frame about the job of that number."""
    return pack(kind, NUMBER.pack(number) + payload)


class Pieces:
    """Cuts a byte stream into pieces that stand behind their length.

    Raises `BrokenFrame` for a piece that is empty or larger than `bytes_max`.
    """

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield every piece that is complete with `data`."""
        buffer = self._buffer
        buffer += data
        start = 0
        total = len(buffer)
        try:
            while total - start >= LENGTH.size:
                (length,) = LENGTH.unpack_from(buffer, start)
                if not 0 < length <= self._bytes_max:
                    raise BrokenFrame(f"a piece of {length} bytes")
                end = start + LENGTH.size + length
                if total < end:
                    return
                piece = bytes(buffer[start + LENGTH.size : end])
                start = end
                yield piece
        finally:
            del buffer[:start]


class Splitter:
    """Cuts a byte stream into frames."""

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._pieces = Pieces(bytes_max)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, payload) of every frame that is complete with `data`.  Raises `BrokenFrame`."""
        for piece in self._pieces.feed(data):
            yield piece[0], piece[1:]


class Channel:
    """A blocking socket that frames are written to and read from, for children.  Writing is thread-safe.

    A signal handler that writes while its own thread is writing does not cut the frame in two: what it says goes out
    behind it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._lock = threading.Lock()
        self._writer = 0
        """The thread that writes now; 0 if none does."""
        self._unsent: collections.deque[bytes] = collections.deque()
        self._splitter = Splitter()
        self._ready: list[tuple[int, bytes]] = []

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Write one frame; blocks while the host is behind (backpressure)."""
        data = pack(kind, payload)
        if self._writer == threading.get_ident():  # a signal handler has interrupted a send: that one goes on for us
            self._unsent.append(data)
            return
        with self._lock:
            self._unsent.append(data)
            self._writer = threading.get_ident()
            try:
                while self._unsent:
                    self.socket.sendall(self._unsent.popleft())
            finally:
                self._writer = 0

    def forked(self) -> None:
        """In a fork: close its end, which leaves ours open.  Another thread of ours may have held the lock."""
        self._lock, self._writer = threading.Lock(), 0
        self._unsent.clear()
        self.socket.close()

    def receive(self) -> tuple[int, bytes] | None:
        """Return the next frame, or `None` when the host has closed its end."""
        while not self._ready:
            data = self.socket.recv(65536)
            if not data:
                return None
            self._ready.extend(self._splitter.feed(data))
        return self._ready.pop(0)
