"""SQLite with group commit: many small writes, one fsync.

One thread owns the write connection.  It takes whatever writes are waiting, runs each in a savepoint inside one
transaction, commits once (`synchronous=FULL`), and only then answers them all: an answer means "on disk".  There is
no timer: while one commit waits for the disk, the next batch gathers by itself.

Readers never wait for the writer.  What an index answers in microseconds is read on the loop (`read`), which is less
than a hop to a thread costs; everything else goes to a few reading threads (`query`), which start when first needed.

A file that cannot be used for the moment (no space, no descriptors, a failing disk) fails what is asked, as
`Unavailable`, and nothing else: the next write tries again.  One that is deleted while it is open is made anew from
what is open (`meshkit.sqlite.files`).  The log has a line when the trouble begins and one when it is over.
"""

import asyncio
import concurrent.futures
import contextlib
import pathlib
import queue
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from meshkit import telemetry
from meshkit.errors import MeshError
from meshkit.sqlite import files as sqlite_files
from meshkit.sqlite.erasing import zeroing
from meshkit.sqlite.files import Trouble

T = TypeVar("T")
_BATCH_MAX = 1000
_READERS_MAX = 2
_INSTRUCTIONS = 10_000
_PAGE_BYTES = 8192
"""Rows of a kilobyte fill such pages well: of SQLite's own 4096 a quarter stays empty."""
_LOOK_S = 2.0
"""How often the writer sees that its file is still there while nobody writes."""
_FREE_KEPT = 256
"""Free pages that stay in the file: what comes next need not ask the system for space."""
_FREED_AT_ONCE = 500
"""Pages that are given back in one write: 4 MiB."""
_CACHE_KIB = 2000
"""SQLite's own, of each connection."""
_MIGRATION_CACHE_KIB = 128 * 1024
"""While tables are copied and indices made: with SQLite's own that takes twice as long."""
_CLOSE = object()


class _Connection(sqlite3.Connection):
    """Knows what it has begun to read.

    A statement that is not read to its end, of a cursor that an exception or an answer keeps, would hold its connection
    to what the file was then, whatever is committed: the log could not be emptied, and grew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: list[weakref.ref[sqlite3.Cursor]] = []
        self.is_writer = False

    def execute(self, *args: Any) -> sqlite3.Cursor:
        cursor = super().execute(*args)
        if self.is_writer and cursor.description is not None:  # it has rows
            self._begun.append(weakref.ref(cursor))
        return cursor

    def end_reading(self) -> None:
        """End the statements that somebody has left unread."""
        for reference in self._begun:
            if (cursor := reference()) is not None:
                cursor.close()
        self._begun.clear()


class Database:
    """A SQLite file with one writer thread.  Use `open` and `close`, both from the event loop's thread."""

    def __init__(
        self,
        path: pathlib.Path,
        migrations: Sequence[str],
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        """`migrations` are SQL scripts; the file remembers in `user_version` how many it has seen.

        `functions` are what scripts may call beside SQL's own, by name; where a script has called one, nothing stays in
        the file of what the rows were before.
        """
        self._functions = functions or {}
        self._path = path
        self._migrations = migrations
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader: sqlite3.Connection | None = None
        self._writer: _Connection | None = None
        self._identity = sqlite_files.Identity()
        self._trouble = Trouble(path)
        self._is_doubtful = False
        """Whether the writer's connection has failed in a way that it may not get over."""
        self._generation = 0
        """Counts the files that have stood at the path since we opened it."""
        self._read_from = 0
        """The generation that the loop's own reader reads."""
        self._readers = concurrent.futures.ThreadPoolExecutor(_READERS_MAX, thread_name_prefix="sqlite-reader")
        self._own = threading.local()
        self._opened: list[sqlite3.Connection] = []
        """The connections of the reading threads."""

    def open(self) -> None:
        """Create or migrate the file, and start the writer.

        Raises `Unavailable` if it cannot be used now or is damaged, `sqlite3.Error` if it is not ours to read.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)  # what is in it is not for every user of the machine; -wal and -shm follow it
            # Opened here and not on the thread: what fails must fail where somebody hears of it.
            self._writer = self._connect()
            self._migrate(self._writer)
            self._reader = self._connect(query_only=True)
            self._identity = sqlite_files.identity(self._path)
        except (sqlite3.Error, OSError) as error:
            if self._writer is not None:
                self._writer.close()
            if (refusal := sqlite_files.refusal(error, self._path)) is not None:
                raise refusal from error
            raise
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        if (to := telemetry.active()) is not None:
            to.gauge("agentmesh.database.size", "Bytes of the database, and of its write-ahead log", self._sizes)

    def _sizes(self) -> Sequence[tuple[float, Mapping[str, str]]]:
        files = {"database": self._path, "wal": self._path.with_name(f"{self._path.name}-wal")}
        return [(path.stat().st_size, {"file": name}) for name, path in files.items() if path.exists()]

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
        A caller that is cancelled while waiting does not undo the write.  Raises `Unavailable` if the file cannot be
        written now: then nothing of the commit stands.
        """
        if self._loop is None:
            raise sqlite3.ProgrammingError("database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((work, future))
        return await future

    async def give_back(self) -> bool:
        """Give some of the file's free space back to the system; return whether there is more to give.

        A file that was made before files could do so keeps its size (`VACUUM` makes it anew).  Raises as `write`.
        """
        return await self.write(_give_back)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a short query: one that an index answers in microseconds.  A longer one would hold up every caller.

        Raises `Unavailable` if the file cannot be read now.
        """
        assert self._reader is not None, "open the database first"
        with self._reading():
            if self._read_from != self._generation:
                generation, fresh = self._generation, self._connect(query_only=True)
                self._reader.close()
                self._reader, self._read_from = fresh, generation
            return work(self._reader)

    async def query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a longer query on one of the reading threads.

        Raises `Unavailable` if the file cannot be read now, `sqlite3.Error` if the database is closed meanwhile.
        """
        if self._loop is None:
            raise sqlite3.ProgrammingError("database is closed")
        return await self._loop.run_in_executor(self._readers, self._read_aside, work)

    def _read_aside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._loop is None:  # closed while this waited for a thread
            raise sqlite3.ProgrammingError("database is closed")
        with self._reading():
            return work(self._own_connection())

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise `Unavailable` for a file that cannot be read, and read it by new connections then."""
        try:
            yield
        except sqlite3.Error as error:
            refusal = sqlite_files.refusal(error, self._path, reading=True)
            if refusal is None or self._loop is None:
                raise
            self._trouble.begins(refusal)
            self._generation += 1
            raise refusal from error

    def _own_connection(self) -> sqlite3.Connection:
        """Return the connection of this reading thread."""
        generation: int = getattr(self._own, "generation", -1)
        known: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if known is not None and generation == self._generation:
            return known
        generation, connection = self._generation, self._connect(query_only=True)
        if known is not None:
            self._opened.remove(known)
            known.close()
        self._own.connection, self._own.generation = connection, generation
        # Asked every so many instructions: a close interrupts what runs, whenever it has begun.
        connection.set_progress_handler(lambda: self._loop is None, _INSTRUCTIONS)
        self._opened.append(connection)
        return connection

    def _connect(self, *, query_only: bool = False) -> _Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=10, factory=_Connection
        )
        if not connection.execute("PRAGMA page_count").fetchone()[0]:  # a new file
            connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # `give_back`; in a file that has pages it is a write
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if query_only:
            connection.execute("PRAGMA query_only=ON")
        connection.is_writer = not query_only
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(self._migrations):
            raise sqlite3.DatabaseError(f"{self._path.name} was written by a newer version of agentmesh")
        for name, function in self._functions.items():
            connection.create_function(name, -1, function, deterministic=False)
        is_scrubbed = False
        if version < len(self._migrations):
            connection.execute(f"PRAGMA cache_size={-_MIGRATION_CACHE_KIB}")
        for number, script in enumerate(self._migrations[version:], start=version + 1):
            with zeroing(connection):  # what is moved would be read in free pages for ever
                # On lines of their own: a script may end in a comment.
                connection.executescript(f"BEGIN IMMEDIATE;{script}\n;PRAGMA user_version={number};COMMIT;")
            is_scrubbed = is_scrubbed or any(f"{name}(" in script for name in self._functions)
        connection.execute(f"PRAGMA cache_size={-_CACHE_KIB}")
        if version and is_scrubbed:  # free pages have the old rows still
            connection.execute("VACUUM")
        if 0 < version < len(self._migrations):  # the log has them, too, and stays as long as what was copied
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _run(self) -> None:
        closing = False
        while not closing:
            try:
                batch = [self._queue.get(timeout=_LOOK_S)]
            except queue.Empty:
                batch = []
            while batch and len(batch) < _BATCH_MAX and not self._queue.empty():
                batch.append(self._queue.get())
            closing = bool(batch) and batch[-1] is _CLOSE
            self._commit([item for item in batch if item is not _CLOSE])
        if self._writer is not None:
            self._writer.close()

    def _commit(self, batch: list[Any]) -> None:
        """Carry out what waits in one transaction; with nothing to carry out, only see that the file is there."""
        outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            connection = self._usable()
            if batch:
                connection.execute("BEGIN IMMEDIATE")
                for work, future in batch:
                    outcomes.append((future, *_attempt(connection, work)))
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError, MeshError) as error:  # nobody's write stands
            failure = self._failed(error)
            outcomes = [(future, None, failure) for _, future in batch]
        else:
            if batch:
                self._trouble.ends()
        if not batch:
            return
        loop = batch[0][1].get_loop()
        try:
            loop.call_soon_threadsafe(_resolve, outcomes)
        except RuntimeError:  # the loop is closed: nobody is waiting any more
            return

    def _usable(self) -> _Connection:
        """Return the writer's connection to the file that stands at the path.

        Raises `sqlite3.Error`, `OSError`, and `Unavailable` if another file was put there.
        """
        assert self._writer is not None, "open starts this"
        if self._identity.has_gone(self._path):
            self._trouble.begins(sqlite_files.DELETED)
            sqlite_files.restore(self._writer, self._path)
            self._renew()
        elif self._is_doubtful:
            self._renew()
        return self._writer

    def _renew(self) -> None:
        fresh = self._connect()
        old, self._writer = self._writer, fresh
        self._identity = sqlite_files.identity(self._path)
        self._is_doubtful = False
        self._generation += 1
        if old is not None:
            old.close()

    def _failed(self, error: Exception) -> Exception:
        """Undo what was begun; return what those who wait are told."""
        if self._writer is not None and self._writer.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
        refusal = sqlite_files.refusal(error, self._path)
        if refusal is None:
            return error
        self._is_doubtful = not sqlite_files.is_passing(error)
        self._trouble.begins(refusal)
        return refusal


def _give_back(connection: sqlite3.Connection) -> bool:
    before = _free(connection)
    if before <= _FREE_KEPT:
        return False
    for _ in range(min(before - _FREE_KEPT, _FREED_AT_ONCE)):  # this driver takes one step, which frees one page
        connection.execute("PRAGMA incremental_vacuum(1)").close()
    return _FREE_KEPT < _free(connection) < before


def _free(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _attempt(connection: _Connection, work: Callable[[sqlite3.Connection], Any]) -> tuple[Any, BaseException | None]:
    """Run one write.  Raises `sqlite3.Error` if the whole commit has failed with it."""
    connection.execute("SAVEPOINT work")
    try:
        value, error = work(connection), None
        connection.end_reading()
    except Exception as caught:
        connection.end_reading()
        # A full disk, say, undoes everything, and not this one alone.
        if not connection.in_transaction or (isinstance(caught, sqlite3.Error) and sqlite_files.why(caught)):
            raise
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
