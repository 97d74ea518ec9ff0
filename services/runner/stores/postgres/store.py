"""The runner's store in PostgreSQL: any number of replicas write it, so nothing is answered from memory."""

from collections.abc import Callable, Sequence
from typing import Any

from meshkit import paging
from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.postgres import Database, requests
from services.runner.domain import (
    Asked,
    Birth,
    Change,
    Event,
    Isolation,
    Job,
    Lock,
    LockEnd,
    PlacedApp,
    Retrying,
    State,
    pages,
)
from services.runner.ports.store import ANY, ASKED_BYTES_MAX, EVENTS_BYTES_MAX, JobFilter, LockQuery, Written
from services.runner.stores.postgres import jobs, remains, search, writes
from services.runner.stores.postgres.jobs import (
    ASKED_COLUMNS,
    END_COLUMNS,
    EVENT_COLUMNS,
    LOCK_COLUMNS,
    SEALED_COLUMNS,
    asked_from,
    end_from,
    event_from,
    lock_from,
)
from services.runner.stores.postgres.records import PostgresConversations, PostgresMemories
from services.runner.stores.postgres.retention import PostgresRetention
from services.runner.stores.postgres.rows import octets, page, places, row, rows
from services.runner.stores.postgres.schedules import PostgresSchedules
from services.runner.stores.postgres.webhooks import PostgresWebhooks
from services.runner.stores.postgres.writes import Creation, Update
from services.runner.stores.remains import JOBS, ROWS_MAX, kept, there
from services.runner.stores.rows import ENDED, OPEN, RETRYING_COLUMNS, SELECT, SOLD, UNASKED, job_of, retrying_of
from services.runner.stores.texts import folded

_APP_FIELDS = (
    "expose",
    "import_path",
    "runtime_env_json",
    "deployments_json",
    "fork",
    "isolation",
    "bounds",
    "host_ids",
    "sealed",
)
_APP_COLUMNS = ", ".join(_APP_FIELDS)
_TIMED = f"deadline_at > 0 AND {OPEN} AND state <> 'stopping'"
_THERE = there(JOBS, "%s")
"""What is left of the log of a job that was deleted is nobody's to read."""
_KEPT = kept(JOBS, "job_id")
_IDS = "SELECT job_id FROM jobs WHERE"
_BEHIND = "AND job_id > %s ORDER BY job_id LIMIT %s"
_ANSWER_BYTES = "coalesce(nullif(octet_length(sealed), 0), octet_length(result_json))"
_EVENT_BYTES = octets(("kind", "payload", "detail"))


class PostgresStore:
    """A `JobStore` and `AppStore` in one PostgreSQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.sweeper = remains.sweeper(database)
        """Takes away what is left of what was deleted; nobody sees that, while it is there."""
        self.conversations = PostgresConversations(database, self.sweeper)
        self.memories = PostgresMemories(database)
        self.schedules = PostgresSchedules(database)
        self.webhooks = PostgresWebhooks(database, self.sweeper)
        self.retention = PostgresRetention(database)

    async def create(
        self,
        births: Sequence[Birth],
        request: Request | None,
        *,
        open_max: int | None = None,
        stored_max: int | None = None,
    ) -> list[Written]:
        """As `JobStore.create`."""

        creation = Creation(births=births, request=request, open_max=open_max, stored_max=stored_max)
        return await self._database.join(writes.create, creation, key=births[0].job.owner)

    async def stored_bytes(self, owner: str) -> int:
        """As `JobStore.stored_bytes`."""
        return await self._database.read(lambda connection: jobs.stored_bytes(connection, owner))

    async def request(self, owner: str, request_id: str) -> Request | None:
        """As `JobStore.request`."""
        return await self._database.read(lambda connection: requests.find(connection, owner, request_id))

    async def forget_requests(self, before: float) -> None:
        """As `JobStore.forget_requests`."""
        chosen = f"SELECT owner, request_id FROM requests WHERE created_at < %s LIMIT {ROWS_MAX} FOR UPDATE SKIP LOCKED"
        statement = f"DELETE FROM requests WHERE (owner, request_id) IN ({chosen}) RETURNING 1"
        while await self._database.write(lambda connection: rows(connection, statement, before)):
            pass

    async def update(self, job_id: str, rule: Callable[[Job], Change], request: Request | None = None) -> Written:
        """As `JobStore.update`."""

        asked = Update(job_id=job_id, rule=rule, request=request)
        return await self._database.join(writes.update, asked, key=job_id)

    async def get(self, job_id: str) -> Job:
        """As `JobStore.get`."""
        return await self._database.read(lambda connection: jobs.get(connection, job_id))

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """As `JobStore.events`."""
        where = f"job_id = %s AND seq > %s AND {_THERE}"
        source = f"SELECT {EVENT_COLUMNS} FROM events WHERE {where} ORDER BY seq LIMIT %s"
        found = await self._rows(page(EVENT_COLUMNS, source, "seq", _EVENT_BYTES), job_id, after_seq, job_id, limit)
        return list(paging.until_full(map(event_from, found), pages.bytes_of_event))

    async def events_of(self, job_id: str, kinds: Sequence[str]) -> list[Event]:
        """As `JobStore.events_of`."""
        source = f"SELECT {SEALED_COLUMNS} FROM events WHERE job_id = %s AND kind = ANY(%s::text[]) AND {_THERE}"
        statement = page(SEALED_COLUMNS, source, "seq", _EVENT_BYTES, EVENTS_BYTES_MAX)
        found = await self._rows(statement, job_id, list(kinds), job_id)
        return list(paging.until_full(map(event_from, found), pages.bytes_of_event, EVENTS_BYTES_MAX))

    async def brief(self, job_id: str) -> bytes:
        """As `JobStore.brief`."""
        found = await self._row("SELECT brief FROM briefs WHERE job_id = %s", job_id)
        return b"" if found is None else bytes(found[0])

    async def find(
        self,
        owner: str | None,
        query: str,
        before: str,
        limit: int,
        only: JobFilter = ANY,
        *,
        text_bytes_max: int = 0,
    ) -> list[Job]:
        """As `JobStore.find`."""
        wanted = search.Wanted(
            owner=owner, query=folded(query), before=before, limit=limit, only=only, text_bytes_max=text_bytes_max
        )
        return await search.find(self._database, wanted)

    async def count(self, owner: str | None, targets: Sequence[str]) -> dict[tuple[str, State], int]:
        """As `JobStore.count`."""
        mine, values = ("true", ()) if owner is None else ("owner = %s", (owner,))
        statement = (
            f"SELECT target, state, count(*) FROM jobs WHERE target = ANY(%s::text[]) AND {mine} GROUP BY target, state"
        )
        found = await self._rows(statement, list(targets), *values)
        return {(target, State(state)): count for target, state, count in found}

    async def retrying_jobs(self, after: str, limit: int) -> list[Retrying]:
        """As `JobStore.retrying_jobs`."""
        source = f"SELECT {RETRYING_COLUMNS} FROM jobs WHERE state = 'retrying'"
        found = await self._rows(f"{source} AND job_id > %s ORDER BY job_id LIMIT %s", after, limit)
        return list(map(retrying_of, found))

    async def late_jobs(self, before: float, limit: int) -> list[str]:
        """As `JobStore.late_jobs`."""
        statement = (
            f"SELECT job_id FROM jobs WHERE {_TIMED} AND deadline_at <= %s ORDER BY deadline_at, job_id LIMIT %s"
        )
        return [found[0] for found in await self._rows(statement, before, limit)]

    async def next_deadline(self) -> float | None:
        """As `JobStore.next_deadline`."""
        found = await self._row(f"SELECT min(deadline_at) FROM jobs WHERE {_TIMED}")
        return None if found is None or found[0] is None else float(found[0])

    async def open_jobs(self) -> list[Job]:
        """As `JobStore.open_jobs`."""
        return list(map(job_of, await self._rows(f"{SELECT} WHERE {OPEN} ORDER BY job_id")))

    async def todo_jobs(self, after: str, limit: int) -> list[str]:
        """As `JobStore.todo_jobs`."""
        # Each half by an index of its own: with one condition for both, the planner may go along all jobs.
        untold, unasked = (f"({_IDS} {condition} {_BEHIND})" for condition in ("payment_todo <> ''", UNASKED))
        statement = f"{untold} UNION {unasked} ORDER BY job_id LIMIT %s"
        return [found[0] for found in await self._rows(statement, after, limit, after, limit, limit)]

    async def unpaid_jobs(self, after: str, limit: int) -> list[str]:
        """As `JobStore.unpaid_jobs`."""
        condition = f"{OPEN} AND state = 'awaiting_payment' AND payment_step <> ''"
        return [found[0] for found in await self._rows(f"{_IDS} {condition} {_BEHIND}", after, limit)]

    async def sold_jobs(self) -> list[str]:
        """As `JobStore.sold_jobs`."""
        return [each[0] for each in await self._rows(f"SELECT job_id FROM jobs WHERE {ENDED} AND {SOLD} ORDER BY 1")]

    async def get_lock(self, lock_id: str) -> Lock:
        """As `JobStore.get_lock`."""
        found = await self._row(f"SELECT {LOCK_COLUMNS} FROM locks WHERE lock_id = %s AND {_KEPT}", lock_id)
        if found is None:
            raise NotFound("lock not found", resource=f"locks/{lock_id}")
        return lock_from(found)

    async def asked(self, job_id: str) -> list[Asked]:
        """As `JobStore.asked`."""
        source = f"SELECT {ASKED_COLUMNS}, created_at FROM locks WHERE job_id = %s AND state <> 'closed'"
        size = f"{octets(('title', 'data_json'))} + {_ANSWER_BYTES}"
        statement = page(ASKED_COLUMNS, source, "created_at, lock_id", size, ASKED_BYTES_MAX)
        found = map(asked_from, await self._rows(statement, job_id))
        return list(paging.until_full(found, pages.bytes_of_asked, ASKED_BYTES_MAX))

    async def lock_ends(self, job_id: str, after: str, limit: int) -> list[LockEnd]:
        """As `JobStore.lock_ends`."""
        where = "job_id = %s AND lock_id > %s AND state <> 'pending'"
        source = f"SELECT {END_COLUMNS} FROM locks WHERE {where} ORDER BY lock_id LIMIT %s"
        found = await self._rows(page(END_COLUMNS, source, "lock_id", _ANSWER_BYTES), job_id, after, limit)
        return list(paging.until_full(map(end_from, found), pages.bytes_of_answer))

    async def pending_locks(self, owner: str = "") -> list[str]:
        """As `JobStore.pending_locks`."""
        clause, values = ("AND owner = %s", (owner,)) if owner else ("", ())
        statement = f"SELECT lock_id FROM locks WHERE state = 'pending' {clause} ORDER BY expires_at, lock_id"
        return [found[0] for found in await self._rows(statement, *values)]

    async def due_locks(self, before: float, limit: int) -> list[tuple[str, str]]:
        """As `JobStore.due_locks`."""
        where = "state = 'pending' AND expires_at <= %s"
        statement = f"SELECT lock_id, job_id FROM locks WHERE {where} ORDER BY expires_at, lock_id LIMIT %s"
        return [(lock_id, job_id) for lock_id, job_id in await self._rows(statement, before, limit)]

    async def next_expiry(self) -> float | None:
        """As `JobStore.next_expiry`."""
        found = await self._row("SELECT min(expires_at) FROM locks WHERE state = 'pending'")
        return None if found is None or found[0] is None else float(found[0])

    async def bring_back_locks(self, now: float) -> None:
        """As `JobStore.bring_back_locks`."""
        statement = (
            "UPDATE locks SET expires_at = %s + expires_at - created_at, created_at = %s"
            " WHERE state = 'pending' AND created_at > %s"
        )
        await self._execute(statement, now, now, now)

    async def find_locks(self, query: LockQuery, limit: int) -> list[Lock]:
        """As `JobStore.find_locks`."""
        clauses = [_KEPT]
        values: list[Any] = []
        for clause, value in (("owner = %s", query.owner), ("job_id = %s", query.job_id)):
            if value:
                clauses.append(clause)
                values.append(value)
        if not query.ended:
            clauses.append("state = 'pending'")
        if query.before is not None:
            clauses.append("(created_at, lock_id) < (%s::double precision, %s)")
            values += query.before
        order = "created_at DESC, lock_id DESC"
        source = f"SELECT {LOCK_COLUMNS} FROM locks WHERE {' AND '.join(clauses)} ORDER BY {order} LIMIT %s"
        size = octets(("title", "elements_json", "data_json", "result_json", "sealed"))
        found = await self._rows(page(LOCK_COLUMNS, source, order, size), *values, limit)
        return list(paging.until_full(map(lock_from, found)))

    async def delete(self, job_id: str, at: float) -> None:
        """As `JobStore.delete`."""
        if await self._database.write(lambda connection: jobs.delete(connection, job_id, at), key=job_id):
            self.sweeper.left()

    async def deleted(self, owner: str, since: float, limit: int) -> list[str]:
        """As `JobStore.deleted`."""
        statement = (
            "SELECT job_id FROM deleted_jobs WHERE owner = %s AND deleted_at >= %s "
            "ORDER BY deleted_at DESC, job_id DESC LIMIT %s"
        )
        return [found[0] for found in await self._rows(statement, owner, since, limit)]

    async def save_app(self, app: PlacedApp) -> None:
        """As `AppStore.save_app`."""
        await self._execute(
            f"INSERT INTO apps ({_APP_COLUMNS}) VALUES ({places(len(_APP_FIELDS))}) ON CONFLICT (expose) DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in _APP_FIELDS[1:]),
            app.expose,
            app.import_path,
            app.runtime_env_json,
            app.deployments_json,
            app.fork,
            app.isolation or "",
            app.bounds,
            " ".join(app.host_ids),
            app.sealed,
        )

    async def delete_app(self, expose: str) -> None:
        """As `AppStore.delete_app`."""
        await self._execute("DELETE FROM apps WHERE expose = %s", expose)

    async def apps(self) -> list[PlacedApp]:
        """As `AppStore.apps`."""
        return [_app(found) for found in await self._rows(f"SELECT {_APP_COLUMNS} FROM apps ORDER BY expose")]

    async def _row(self, statement: str, *values: Any) -> Any:
        return await self._database.read(lambda connection: row(connection, statement, *values))

    async def _rows(self, statement: str, *values: Any) -> list[Any]:
        return await self._database.read(lambda connection: rows(connection, statement, *values))

    async def _execute(self, statement: str, *values: Any) -> None:
        await self._database.write(lambda connection: rows(connection, statement, *values))


def _app(record: Sequence[Any]) -> PlacedApp:
    values = dict(zip(_APP_FIELDS, record, strict=True))
    isolation, host_ids = values["isolation"], values["host_ids"]
    return PlacedApp(
        **{**values, "isolation": Isolation(isolation) if isolation else None, "host_ids": tuple(host_ids.split())}
    )
