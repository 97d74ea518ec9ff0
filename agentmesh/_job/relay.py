"""Carries a tracer's events from a process the flow started back to the job's process.

The first pickling (or fork) opens a listener in the job's process: a Unix socket and a daemon thread.  A pickled tracer
holds a *ticket*, the socket's address and a key; it connects on first use, proves that it knows the key, and waits
for each event to be taken, so that order and back-pressure are as in the job itself.
"""

import concurrent.futures
import dataclasses
import hashlib
import hmac
import json
import os
import secrets
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from typing import Protocol

from agentmesh._job import scope
from agentmesh.errors import KodosumiError

CONNECTIONS_MAX = 256
"""Processes that one job may trace from at a time."""

EVENT_BYTES_MAX = 64 * 1024 * 1024
_HANDSHAKE_S = 5.0
# In front of what is no event, which is a JSON array.
_FILE = b"F"
# Longer than the runner may take to accept an event when it is behind.
_TAKEN_S = 120.0


@dataclasses.dataclass(frozen=True)
class Ticket:
    """What another process of this machine needs to send events of the job."""

    address: str
    key: bytes = dataclasses.field(repr=False)


File = Callable[[bytes], "concurrent.futures.Future[bytes]"]
"""Sends what a job wants of its files (`agentmesh.files`)."""


class Sender(Protocol):
    """Sends one event, or what is wanted of files; can tell other processes how to do the same."""

    def file(self, call: bytes) -> "concurrent.futures.Future[bytes]":
        """Send a call about files; the future has what came of it."""

    def __call__(self, kind: str, payload: str) -> None:
        """Send; return once it is taken."""

    def ticket(self) -> Ticket:
        """Return what another process needs."""


class Local:
    """Sends within the job's process; in a fork of it, through the listener."""

    def __init__(self, emit: Callable[[str, str], None], file: File | None = None) -> None:
        self._emit = emit
        self._file = file
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._ticket: Ticket | None = None
        self.job = scope.job.get()
        """Whose events these are, where several jobs share a process."""
        _locals.add(self)

    def __call__(self, kind: str, payload: str) -> None:
        """Send; return once it is taken."""
        if os.getpid() == self._pid:
            self._emit(kind, payload)
        else:
            redeem(self.ticket())(kind, payload)

    def file(self, call: bytes) -> "concurrent.futures.Future[bytes]":
        """See `Sender.file`.  Raises `KodosumiError` where there is no mesh that has files."""
        if self._file is None:
            raise KodosumiError("tracer: a job has files where a mesh runs it")
        if os.getpid() == self._pid:
            return self._file(call)
        return redeem(self.ticket()).file(call)

    @property
    def is_at_home(self) -> bool:
        """Whether this is the job's process, no fork of it."""
        return os.getpid() == self._pid

    def ticket(self) -> Ticket:
        """Return the address of the listener, opening it if need be."""
        if os.getpid() != self._pid:  # no lock: another thread of the parent may have held it during the fork
            if self._ticket is None:
                raise KodosumiError("tracer: this process has no way back to the job's; pass the tracer to it pickled")
            return self._ticket
        with self._lock:
            if self._ticket is None:
                self._ticket = _listen(self._emit, self._file)
            return self._ticket


class Remote:
    """Sends to the job's process over its socket.  One connection for each process, shared by its threads."""

    def __init__(self, ticket: Ticket) -> None:
        self._ticket = ticket
        self._lock = threading.Lock()
        self._connection: Connection[bytes, bytes] | None = None

    def __call__(self, kind: str, payload: str) -> None:
        """Send; return once it is taken.  Raises `KodosumiError` if the job has ended."""
        problem = self._say(json.dumps([kind, payload]).encode()).decode()
        if problem:
            raise KodosumiError(f"tracer: the job's process did not take the event: {problem}")

    def file(self, call: bytes) -> "concurrent.futures.Future[bytes]":
        """See `Sender.file`.  Raises `KodosumiError` if the job has ended."""
        future: concurrent.futures.Future[bytes] = concurrent.futures.Future()
        threading.Thread(target=self._say_file, args=(call, future), name="tracer-file", daemon=True).start()
        return future

    def _say_file(self, call: bytes, future: "concurrent.futures.Future[bytes]") -> None:
        try:
            answer = self._say(_FILE + call)
            if not answer.startswith(_FILE):
                raise KodosumiError(f"tracer: files of the job: {answer.decode()}")
            future.set_result(answer[1:])
        except Exception as error:  # for whoever waits
            future.set_exception(error)

    def _say(self, message: bytes) -> bytes:
        with self._lock:
            try:
                connection = self._connection = self._connection or _connect(self._ticket)
                connection.send_bytes(message)
                if not connection.poll(_TAKEN_S):
                    raise TimeoutError(f"not taken within {_TAKEN_S:.0f} s")
                return connection.recv_bytes()
            except (OSError, EOFError) as error:
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                raise KodosumiError(f"tracer: the job's process cannot be reached, has it ended? ({error})") from error

    def ticket(self) -> Ticket:
        """Return the ticket this was made from."""
        return self._ticket


_locals: "weakref.WeakSet[Local]" = weakref.WeakSet()
_remotes: dict[Ticket, Remote] = {}
_remotes_lock = threading.Lock()


def redeem(ticket: Ticket) -> Remote:
    """Return the sender for a ticket; the same one for the same ticket in one process."""
    with _remotes_lock:
        return _remotes.setdefault(ticket, Remote(ticket))


def _before_fork() -> None:
    """Open the way back while it can still be opened: a fork does not pickle."""
    job = scope.job.get()
    for sender in list(_locals):
        if sender._pid == os.getpid() and sender.job is job:
            sender.ticket()


def _after_fork_in_child() -> None:
    # Connections of the parent are not ours to write to, and its locks may be held by threads we do not have.
    global _remotes_lock, _remotes
    _remotes_lock = threading.Lock()
    inherited, _remotes = _remotes, {}
    for remote in inherited.values():
        remote._lock = threading.Lock()
        if remote._connection is not None:
            remote._connection.close()
            remote._connection = None


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)


def _listen(emit: Callable[[str, str], None], file: File | None) -> Ticket:
    name = f"agentmesh-{secrets.token_hex(16)}"
    # Linux has addresses without a file, which vanish with the process however it ends.
    address = f"\0{name}" if sys.platform == "linux" else os.path.join(tempfile.mkdtemp(prefix="am-"), "trace")
    ticket = Ticket(address, secrets.token_bytes(32))
    listener = Listener(address, family="AF_UNIX", backlog=64)
    threading.Thread(target=_accept, args=(listener, ticket, emit, file), name="tracer-accept", daemon=True).start()
    return ticket


def _accept(listener: Listener, ticket: Ticket, emit: Callable[[str, str], None], file: File | None) -> None:
    places = threading.BoundedSemaphore(CONNECTIONS_MAX)
    while True:
        places.acquire()
        try:
            connection = listener.accept()
        except OSError:  # the peer gave up before we looked
            places.release()
            continue
        threading.Thread(
            target=_receive, args=(connection, ticket, emit, file, places), name="tracer-receive", daemon=True
        ).start()


def _receive(
    connection: "Connection[bytes, bytes]",
    ticket: Ticket,
    emit: Callable[[str, str], None],
    file: File | None,
    places: threading.BoundedSemaphore,
) -> None:
    try:
        with connection:
            nonce = secrets.token_bytes(32)
            connection.send_bytes(nonce)
            if not connection.poll(_HANDSHAKE_S):
                return
            if not hmac.compare_digest(connection.recv_bytes(64), _proof(ticket.key, nonce)):
                return
            while True:
                message = connection.recv_bytes(EVENT_BYTES_MAX)
                try:
                    answer = _taken(message, emit, file)
                except Exception as error:  # told to the sender, who can do something about it
                    answer = (str(error) or type(error).__name__).encode("utf-8", "replace")
                connection.send_bytes(answer)
    except (OSError, EOFError, ValueError):
        pass  # the peer has ended, or does not speak this
    finally:
        places.release()


def _taken(message: bytes, emit: Callable[[str, str], None], file: File | None) -> bytes:
    """Take an event, or what is wanted of files; return what to say to that."""
    if message.startswith(_FILE) and file is not None:
        return _FILE + file(message[1:]).result()
    kind, payload = json.loads(message)
    emit(str(kind), str(payload))
    return b""


def _connect(ticket: Ticket) -> "Connection[bytes, bytes]":
    connection = Client(ticket.address, family="AF_UNIX")
    try:
        if not connection.poll(_HANDSHAKE_S):
            raise TimeoutError("no greeting")
        connection.send_bytes(_proof(ticket.key, connection.recv_bytes(64)))
    except BaseException:
        connection.close()
        raise
    return connection


def _proof(key: bytes, nonce: bytes) -> bytes:
    return hmac.digest(key, nonce, hashlib.sha256)
