"""PostgreSQL for any number of replicas: a rule is applied under its row's lock, and an answer means "on disk".

A *work* is an async function of a connection.  `write` runs it in a transaction of its own and returns its value once
that has been committed; `read` runs it outside one.  It awaits nothing but its connection, and may be run again when
a deadlock, a restart of the server or a neighbour in its group has undone it: it must not change anything else.

    async def work(connection: Connection) -> Job:
        row = await connection.fetchrow("SELECT … FROM jobs WHERE job_id = $1 FOR UPDATE", job_id)
        job = rule(job_of(row))
        await connection.execute("UPDATE jobs SET … WHERE job_id = $1", job_id, …)
        return job

    job = await database.write(work, key=job_id)

- Transactions are READ COMMITTED: what a rule looks at, it locks (`FOR UPDATE`, `pg_advisory_xact_lock`).  Lock in one
  order everywhere: rows before advisory locks, several rows by their keys (`ORDER BY … FOR UPDATE`).
- After an error of SQL a transaction is over: no `except UniqueViolationError`, but `ON CONFLICT DO NOTHING RETURNING`.
- `key` keeps the order of a replica's writes with the same key, and saves them from waiting for each other's locks on
  several connections.  Writes without one go wherever a connection is free.
- `join` lets what waits be written together, as SQLite's group commit does, by few statements for all of it, on a
  connection of its own.  It locks rows in the order of their keys, and nothing but the rows of its keys: a group holds
  all its locks to the end.  What is refused by its rule is left out; if a statement fails, or a lock is not to be had
  at once, all are undone and carried out each alone on the other connections: nobody waits for a lock of others.
- A caller that is cancelled while waiting does not undo the write, and costs no connection.
- Each service has a schema, and the search path leads there only.  Texts sort by the database's language unless a
  column says `COLLATE "C"`: say it wherever `ORDER BY` or `<` is to mean what it means in Python.
- An index takes rows of 2700 bytes at most: index a hash of what may be longer.
- A `text` may hold what Python's `str` may, NUL included (`meshkit.postgres.texts`); JSON is `text`, never `jsonb`.  Of
  arrays the driver knows no such codec: texts of strangers in a `text[]` go through `postgres_texts.stored` by hand.

While it is open, the time of day of this process is the server's (`meshkit.clock`).

While the server is away, whoever asks waits `patience_s` for it, then gets `Unavailable`.  A connection that is lost
*during* a commit leaves it open whether the write stands: the caller gets `Unavailable`, and may ask again under the
same request id (`meshkit.idempotency.once` looks whether it stands).
"""

import asyncio
import contextlib
import functools
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg

from meshkit.databases import PostgresDatabase
from meshkit.errors import Unavailable
from meshkit.postgres import errors, texts, time_of_day
from meshkit.postgres.errors import Kind, Trouble
from meshkit.postgres.lanes import Alone as Alone
from meshkit.postgres.lanes import Connection as Connection
from meshkit.postgres.lanes import Item, Joint, Lane, Lanes, fail
from meshkit.postgres.lanes import Together as Together
from meshkit.postgres.lanes import Work as Work

A = TypeVar("A")
T = TypeVar("T")
_WRITERS = 4
_READERS = 3
_ATTEMPTS_MAX = 5
_PAUSES_S = (0.02, 0.05, 0.1, 0.25, 0.5)
_CONNECT_S = 10.0
_COMMAND_S = 30.0
"""However long the server may take, a network that swallows what we say must not hold us longer."""
_CLOSE_S = 5.0
_MIGRATION_S = 600.0
_JOINT_LOCK = "250ms"
"""What waits for a lock longer than that is undone, and carried out elsewhere: nobody else is to wait for it."""
_LIMITS = {
    "application_name": "agentmesh",
    "jit": "off",
    "statement_timeout": "20s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",  # a replica that stands still must not hold locks
}


class Database:
    """One service's schema.  Use `open` and `close`, both from the event loop's thread."""

    def __init__(
        self,
        place: PostgresDatabase,
        service: str,
        migrations: Sequence[str],
        *,
        writers: int = _WRITERS,
        readers: int = _READERS,
        patience_s: float = 3.0,
    ) -> None:
        """`migrations` are SQL scripts, each applied once, by whichever replica comes first; shipped ones never change.

        `writers` and `readers` are how many connections there are at most, but for one that writes what is joined; they
        are made when they are needed.
        """
        self._place = place
        self._schema = place.schema(service)
        self._migrations = migrations
        self._patience_s = patience_s
        self._trouble = Trouble(place.address)
        joint = Joint(self._connect_joint, self._together)
        self._writers = Lanes(writers, self._connect, self._carry_out_write, joint)
        self._readers = Lanes(readers, self._connect_reader, self._carry_out_read)
        self._is_open = False

    async def open(self, patience_s: float = 10.0) -> None:
        """Create or migrate the schema, and start.

        Raises `Unavailable` if the server cannot be reached within `patience_s` or does not take us, `RuntimeError` if
        the schema was written by a newer version.
        """
        loop = asyncio.get_running_loop()
        connection = await self._patiently(self._connect, loop.time() + patience_s)
        try:
            await self._migrate(connection)
            await time_of_day.hear(connection)
        finally:
            connection.terminate()
        self._is_open = True
        self._writers.start()
        self._readers.start()
        self._keeping = asyncio.create_task(time_of_day.keep(self.read))

    async def close(self) -> None:
        """Commit what is waiting, if that takes no long time, then stop.  What is asked for after this is refused."""
        if self._is_open:
            self._is_open = False
            self._keeping.cancel()
            await asyncio.gather(self._writers.close(), self._readers.close())

    async def write(self, work: Work[T], *, key: str = "") -> T:
        """Run `work` in a transaction and return its value once that is on disk.

        If it raises, its changes are undone and the exception comes out here.  Raises `Unavailable` if the database
        cannot be written now, or it is not known whether it was.
        """
        return await self._put(self._writers, work, key=key)

    async def join(self, together: Together[A, T], asked: A, *, key: str) -> T:
        """As `write`, in one transaction with whatever else waits for the same `together`.

        That gets what was asked for, in order, and returns for each its value, or the exception for who has asked, if
        it has written nothing of it, or `Alone.ALONE` for what it would have to write by itself: it is called again
        with that alone.
        """
        work = functools.partial(_alone, together, asked)
        return await self._put(self._writers, work, key=key, together=together, asked=asked)

    async def read(self, work: Work[T], *, snapshot: bool = False) -> T:
        """Run queries; with `snapshot` they see one moment.  Raises `Unavailable` if there is no server to ask."""
        return await self._put(self._readers, work, snapshot=snapshot)

    async def fetch(self, sql: str, *values: Any) -> "list[asyncpg.Record]":
        """Return the rows of a query.  Raises as `read`."""
        return await self.read(lambda connection: connection.fetch(sql, *values))

    async def fetchrow(self, sql: str, *values: Any) -> "asyncpg.Record | None":
        """Return the first row of a query, if there is one.  Raises as `read`."""
        return await self.read(lambda connection: connection.fetchrow(sql, *values))

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """Return the first value of the first row; `None` if there is none.  Raises as `read`."""
        return await self.read(lambda connection: connection.fetchval(sql, *values))

    async def _put(
        self,
        lanes: Lanes,
        work: Work[T],
        *,
        key: str = "",
        snapshot: bool = False,
        together: Together[Any, T] | None = None,
        asked: Any = None,
    ) -> T:
        if not self._is_open:
            raise asyncpg.InterfaceError("database is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        until = loop.time() + self._patience_s
        lanes.put(Item(work, future, until, snapshot, key, together, asked))
        return await future

    # -- carrying out, in a lane's task --------------------------------------------------------------------------------

    async def _carry_out_write(self, lane: Lane, item: Item) -> None:
        await self._settle(item, functools.partial(self._transaction, lane, item.work, [item]))

    async def _carry_out_read(self, lane: Lane, item: Item) -> None:
        await self._settle(item, functools.partial(self._reading, lane, item))

    async def _together(self, lane: Lane, batch: list[Item]) -> list[Item]:
        """Carry out what waits in one transaction; return what is left to be carried out alone."""
        together = batch[0].together
        assert together is not None, "nothing else is in this lane"
        asked = [item.asked for item in batch]
        try:
            outcomes = await self._transaction(lane, lambda connection: together(connection, asked), batch)
        except _Unknown as unknown:
            self._trouble.begins(unknown.error)
            for item in batch:
                fail(item, unknown.refusal(self._place.address))
            return []
        except Exception:  # whoever has failed hears of it when it fails alone
            return batch
        self._trouble.ends()
        for item, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                fail(item, outcome)
            elif outcome is not Alone.ALONE and not item.future.done():
                item.future.set_result(outcome)
        return [item for item, outcome in zip(batch, outcomes, strict=True) if outcome is Alone.ALONE]

    async def _settle(self, item: Item, attempt: Callable[[], Awaitable[Any]]) -> None:
        """Try until it works, fails for good, or patience is over; tell who waits."""
        loop = asyncio.get_running_loop()
        number = 0
        while True:
            try:
                value = await attempt()
            except _Unknown as unknown:
                self._trouble.begins(unknown.error)
                return fail(item, unknown.refusal(self._place.address))
            except Exception as error:
                kind = errors.kind(error)
                lost = kind is Kind.LOST and loop.time() < item.until
                if lost or (kind is Kind.AGAIN and number < _ATTEMPTS_MAX):
                    if lost:
                        self._trouble.begins(error)
                    await asyncio.sleep(_PAUSES_S[min(number, len(_PAUSES_S) - 1)])
                    number += 1
                    continue
                if kind is Kind.OTHER:
                    return fail(item, error)
                self._trouble.begins(error)
                return fail(item, errors.refusal(error, self._place.address))
            self._trouble.ends()
            if not item.future.done():
                item.future.set_result(value)
            return None

    async def _transaction(self, lane: Lane, work: Work[T], items: Sequence[Item]) -> T:
        """Run a work in a transaction, for those who wait for `items`.

        Raises `_Unknown` if the connection is lost while it is committed, and tells who waits if we are to end then.
        """
        connection = await lane.connected()
        try:
            await connection.execute("BEGIN")
            value = await work(connection)
        except BaseException as error:
            await _undo(lane, connection, error)
            raise
        try:
            said = await connection.execute("COMMIT")
        except BaseException as error:
            await _undo(lane, connection)
            if not isinstance(error, Exception):
                for item in items:
                    fail(item, _Unknown(error).refusal(self._place.address))
                raise
            if not isinstance(error, asyncpg.PostgresError) or errors.kind(error) is Kind.LOST:
                raise _Unknown(error) from error
            raise  # the server refused it: a deferred constraint, a full disk
        if said != "COMMIT":
            raise RuntimeError("a work went on after an error of SQL, which had ended its transaction")
        return value

    async def _reading(self, lane: Lane, item: Item) -> Any:
        connection = await lane.connected()
        try:
            if not item.snapshot:
                return await item.work(connection)
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            value = await item.work(connection)
            await connection.execute("COMMIT")
        except BaseException as error:
            await _undo(lane, connection, error)
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                raise RuntimeError("a read wrote: that is what `write` is for") from error
            raise
        return value

    # -- connecting ----------------------------------------------------------------------------------------------------

    async def _connect(self, **more: str) -> Connection:
        settings = {**_LIMITS, "search_path": f'"{self._schema}"', **more}
        connection: Connection = await asyncpg.connect(
            self._place.url, timeout=_CONNECT_S, command_timeout=_COMMAND_S, server_settings=settings
        )
        try:
            if connection.get_settings().server_encoding != "UTF8":
                raise Unavailable(f"the database at {self._place.address} is not of encoding UTF8: make one that is")
            await connection.set_type_codec("text", schema="pg_catalog", encoder=texts.stored, decoder=texts.read)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _connect_reader(self) -> Connection:
        return await self._connect(default_transaction_read_only="on")

    async def _connect_joint(self) -> Connection:
        return await self._connect(lock_timeout=_JOINT_LOCK)

    async def _patiently(self, connect: Callable[[], Awaitable[Connection]], until: float) -> Connection:
        loop = asyncio.get_running_loop()
        number = 0
        while True:
            try:
                return await connect()
            except Exception as error:
                if errors.kind(error) is not Kind.LOST or loop.time() >= until:
                    if errors.kind(error) is Kind.OTHER:
                        raise
                    raise errors.refusal(error, self._place.address) from error
                self._trouble.begins(error)
            await asyncio.sleep(_PAUSES_S[min(number, len(_PAUSES_S) - 1)])
            number += 1

    async def _migrate(self, connection: Connection) -> None:
        """Bring the schema up to date; of several replicas that start at once, one does."""
        await connection.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        lock = int.from_bytes(hashlib.blake2b(self._schema.encode(), digest_size=8).digest(), "big", signed=True)
        await connection.execute("SELECT pg_advisory_lock($1)", lock, timeout=_MIGRATION_S)
        # The lock ends with the connection.
        if not await connection.fetchval("SELECT to_regclass('migrations') IS NOT NULL"):
            await connection.execute(
                f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"; CREATE TABLE migrations ('
                "number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
        version = await connection.fetchval("SELECT coalesce(max(number), 0) FROM migrations")
        if version > len(self._migrations):
            raise RuntimeError(f"{self._schema} at {self._place.address} was written by a newer version of agentmesh")
        for number, script in enumerate(self._migrations[version:], start=version + 1):
            async with connection.transaction():
                await connection.execute(script, timeout=_MIGRATION_S)
                await connection.execute("INSERT INTO migrations (number) VALUES ($1)", number)


@contextlib.asynccontextmanager
async def opened(place: PostgresDatabase, service: str, migrations: Sequence[str]) -> AsyncIterator[Database]:
    """Run the database of a service for the length of the block.  Raises as `Database.open`."""
    database = Database(place, service, migrations)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


class _Unknown(Exception):
    """Nobody can say whether a commit stands."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error

    def refusal(self, address: str) -> Unavailable:
        """Return what the caller is told."""
        why = errors.why(self.error)
        return Unavailable(f"PostgreSQL at {address} was lost while it wrote, and may have written it: {why}")


async def _alone(together: Together[A, T], asked: A, connection: Connection) -> T:
    """Have one thing carried out by what could carry out several."""
    [outcome] = await together(connection, [asked])
    if isinstance(outcome, Exception):
        raise outcome
    if isinstance(outcome, Alone):
        raise RuntimeError("what is alone wants to be apart")
    return outcome


async def _undo(lane: Lane, connection: Connection, error: BaseException | None = None) -> None:
    """Leave a connection as if nothing had been begun, or leave it for good.

    Raises `ConnectionError` if `error` says no more than that the connection had been closed.
    """
    if connection.is_closed():
        lane.drop()
        if isinstance(error, asyncpg.InterfaceError):
            raise ConnectionError("the connection was closed") from error
        return
    try:
        await connection.execute("ROLLBACK", timeout=_CLOSE_S)
    except BaseException as failure:
        lane.drop()
        if not isinstance(failure, Exception):
            raise


async def lock(connection: Connection, name: str) -> None:
    """Have what a name of the service's own stands for to oneself, to the end of the transaction."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1::text, 0))", name
    )
