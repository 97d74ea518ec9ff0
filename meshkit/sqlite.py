"""SQLite with group commit: many small writes, one fsync.

One thread owns the write connection.  It takes whatever writes are waiting, runs each in a savepoint inside one
transaction, commits once (`synchronous=FULL`), and only then answers them all: an answer means "on disk".  There is
no timer: while one commit waits for the disk, the next batch gathers by itself.

Readers never wait for the writer.  What an index answers in microseconds is read on the loop (`read`), which is less
than a hop to a thread costs; everything else goes to a few reading threads (`query`), which start when first needed.
"""

import asyncio
import concurrent.futures
import contextlib
import pathlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
_BATCH_MAX = 1000
_READERS_MAX = 2
_INSTRUCTIONS = 10_000
_CLOSE = object()


class Database:
    """A SQLite file with one writer thread.  Use `open` and `close`, both from the event loop's thread."""

    def __init__(self, path: pathlib.Path, migrations: Sequence[str]) -> None:
        """`migrations` are SQL scripts; the file remembers in `user_version` how many it has seen."""
        self._path = path
        self._migrations = migrations
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._readers = concurrent.futures.ThreadPoolExecutor(_READERS_MAX, thread_name_prefix="sqlite-reader")
        self._own = threading.local()
        self._opened: list[sqlite3.Connection] = []
        """The connections of the reading threads."""

    def open(self) -> None:
        """Create or migrate the file, and start the writer.  Raises `sqlite3.Error` if it is not ours to read."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)  # what is in it is not for every user of the machine; -wal and -shm follow it
        # Opened here and not on the thread: what fails must fail where somebody hears of it.
        self._writer = self._connect()
        try:
            self._migrate(self._writer)
            self._reader = self._connect(query_only=True)
        except sqlite3.Error:
            self._writer.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Commit what is waiting, interrupt long queries, then stop.  Whatever is asked for after this is refused."""
        if self._loop is not None:
            self._loop = None
            self._queue.put(_CLOSE)
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)  # their queries see that the database closes
        for connection in (*self._opened, self._reader):
            if connection is not None:
                connection.close()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the writer and return its value once it is on disk.

        If `work` raises, its changes are undone and the exception comes out here; other writes of the commit stand.
        A caller that is cancelled while waiting does not undo the write.
        """
        if self._loop is None:
            raise sqlite3.ProgrammingError("database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((work, future))
        return await future

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a short query: one that an index answers in microseconds.  A longer one would hold up every caller."""
        assert self._reader is not None, "open the database first"
        return work(self._reader)

    async def query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a longer query on one of the reading threads.

        Raises `sqlite3.Error` if the database is closed meanwhile.
        """
        if self._loop is None:
            raise sqlite3.ProgrammingError("database is closed")
        return await self._loop.run_in_executor(self._readers, self._read_aside, work)

    def _read_aside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._loop is None:  # closed while this waited for a thread
            raise sqlite3.ProgrammingError("database is closed")
        return work(self._own_connection())

    def _own_connection(self) -> sqlite3.Connection:
        """Return the connection of this reading thread."""
        with contextlib.suppress(AttributeError):
            return self._own.connection  # type: ignore[no-any-return]  # a thread's own attribute is Any
        connection = self._own.connection = self._connect(query_only=True)
        # Asked every so many instructions: a close interrupts what runs, whenever it has begun.
        connection.set_progress_handler(lambda: self._loop is None, _INSTRUCTIONS)
        self._opened.append(connection)
        return connection

    def _connect(self, *, query_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if query_only:
            connection.execute("PRAGMA query_only=ON")
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(self._migrations):
            raise sqlite3.DatabaseError(f"{self._path.name} was written by a newer version of agentmesh")
        for number, script in enumerate(self._migrations[version:], start=version + 1):
            # On lines of their own: a script may end in a comment.
            connection.executescript(f"BEGIN IMMEDIATE;{script}\n;PRAGMA user_version={number};COMMIT;")

    def _run(self) -> None:
        connection = self._writer
        assert connection is not None, "open starts this"
        closing = False
        while not closing:
            batch = [self._queue.get()]
            while len(batch) < _BATCH_MAX and not self._queue.empty():
                batch.append(self._queue.get())
            closing = batch[-1] is _CLOSE
            self._commit(connection, [item for item in batch if item is not _CLOSE])
        connection.close()

    def _commit(self, connection: sqlite3.Connection, batch: list[Any]) -> None:
        if not batch:
            return
        outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work, future in batch:
                outcomes.append((future, *_attempt(connection, work)))
            connection.execute("COMMIT")
        except sqlite3.Error as error:  # the disk is full or the file is gone: nobody's write stands
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            outcomes = [(future, None, error) for _, future in batch]
        loop = batch[0][1].get_loop()
        try:
            loop.call_soon_threadsafe(_resolve, outcomes)
        except RuntimeError:  # the loop is closed: nobody is waiting any more
            return


def _attempt(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any]
) -> tuple[Any, BaseException | None]:
    connection.execute("SAVEPOINT work")
    try:
        value, error = work(connection), None
    except Exception as caught:
        value, error = None, caught
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")
    return value, error


def _resolve(outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, value, error in outcomes:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
