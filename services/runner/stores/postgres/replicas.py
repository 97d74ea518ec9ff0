"""What replicas of the runner share in PostgreSQL."""

from collections.abc import Collection, Sequence
from typing import Any

from meshkit.postgres import Connection, Database
from services.runner.domain import HELD, Isolation, Job
from services.runner.ports.replicas import HostRow, Moved, Replica, Rule, Standing
from services.runner.ports.store import Written
from services.runner.stores.postgres import writes
from services.runner.stores.postgres.rows import row, rows
from services.runner.stores.rows import COLUMNS, ENDED, OPEN, SELECT, job_of

_HOST = (
    "h.host_id, h.expose, h.runner_id, coalesce(r.address, '') AS address, h.stage, h.loaded, h.beats "
    "FROM hosts h LEFT JOIN runners r USING (runner_id)"
)
_HELD = ", ".join(f"'{state}'" for state in sorted(HELD))
_LOOKED_AT = 4
"""Of so many times the jobs that are wanted, those are taken that nobody else is looking at."""
_TARGETS_MAX = 50
# Owners take turns, and of each owner its flows.
_FREE = f"""
    SELECT {COLUMNS} FROM (
      SELECT job_id, row_number() OVER (ORDER BY turn, job_id) AS place FROM (
        SELECT job_id, row_number() OVER (PARTITION BY owner ORDER BY of_flow, job_id) AS turn FROM (
          SELECT job_id, owner, row_number() OVER (PARTITION BY owner, flow ORDER BY job_id) AS of_flow
          FROM jobs WHERE state = 'queued' AND expose = %s AND isolation = %s AND concurrency_limit = 0
        ) AS flows
      ) AS turns ORDER BY place LIMIT %s
    ) AS wanted JOIN jobs USING (job_id)
    WHERE state = 'queued' ORDER BY place LIMIT %s FOR UPDATE OF jobs SKIP LOCKED
"""
_LIMITED = """
    SELECT target, max(concurrency_limit) FROM jobs
    WHERE state = 'queued' AND expose = %s AND isolation = %s AND concurrency_limit > 0
    GROUP BY target ORDER BY min(job_id) LIMIT %s
"""
_OF_TARGET = f"""
    {SELECT} WHERE state = 'queued' AND expose = %s AND isolation = %s AND target = %s
    ORDER BY job_id LIMIT %s FOR UPDATE SKIP LOCKED
"""


class PostgresReplicas:
    """A `ReplicaStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, me: Replica, host_ids: Collection[str]) -> None:
        """As `ReplicaStore.beat`."""

        async def work(connection: Connection) -> None:
            await rows(
                connection,
                "INSERT INTO runners (runner_id, address, door, beats) VALUES (%s, %s, %s, 1) "
                "ON CONFLICT (runner_id) DO UPDATE SET beats = runners.beats + 1",
                me.runner_id,
                me.address,
                me.door,
            )
            if host_ids:
                await rows(
                    connection,
                    "UPDATE hosts SET beats = beats + 1 WHERE host_id IN ("
                    "SELECT host_id FROM hosts WHERE host_id = ANY(%s::text[]) AND runner_id = %s "
                    "ORDER BY host_id FOR UPDATE)",
                    list(host_ids),
                    me.runner_id,
                )

        await self._database.write(work)

    async def leave(self, runner_id: str) -> None:
        """As `ReplicaStore.leave`."""

        async def work(connection: Connection) -> None:
            for table in ("runners", "duties"):
                await rows(connection, f"DELETE FROM {table} WHERE runner_id = %s", runner_id)

        await self._database.write(work)

    async def replicas(self) -> list[Replica]:
        """As `ReplicaStore.replicas`."""
        found = await self._rows("SELECT runner_id, address, door, beats FROM runners ORDER BY runner_id")
        return [Replica(runner_id=r[0], address=r[1], door=r[2], beats=r[3]) for r in found]

    async def take_duty(self, name: str, runner_id: str, seen: tuple[str, int] | None) -> tuple[str, int]:
        """As `ReplicaStore.take_duty`."""

        async def work(connection: Connection) -> tuple[str, int]:
            holder, beats = seen or ("", -1)
            await rows(
                connection,
                "INSERT INTO duties (name, runner_id, beats) VALUES (%s, %s, 1) "
                "ON CONFLICT (name) DO UPDATE SET runner_id = excluded.runner_id, beats = duties.beats + 1 "
                "WHERE duties.runner_id = excluded.runner_id OR (duties.runner_id = %s AND duties.beats = %s)",
                name,
                runner_id,
                holder,
                beats,
            )
            found = await row(connection, "SELECT runner_id, beats FROM duties WHERE name = %s", name)
            return ("", 0) if found is None else (found[0], found[1])

        return await self._database.write(work)

    async def hosts(self) -> list[HostRow]:
        """As `ReplicaStore.hosts`."""
        return [_host(found) for found in await self._rows(f"SELECT {_HOST} ORDER BY h.host_id")]

    async def host(self, host_id: str) -> HostRow | None:
        """As `ReplicaStore.host`."""
        found = await self._rows(f"SELECT {_HOST} WHERE h.host_id = %s", host_id)
        return _host(found[0]) if found else None

    async def add_host(self, host_id: str, expose: str) -> None:
        """As `ReplicaStore.add_host`."""
        statement = "INSERT INTO hosts (host_id, expose) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        await self._execute(statement, host_id, expose)

    async def attach_host(self, host_id: str, runner_id: str) -> HostRow | None:
        """As `ReplicaStore.attach_host`."""

        async def work(connection: Connection) -> HostRow | None:
            statement = "UPDATE hosts SET runner_id = %s, beats = beats + 1 WHERE host_id = %s"
            await rows(connection, statement, runner_id, host_id)
            found = await row(connection, f"SELECT {_HOST} WHERE h.host_id = %s", host_id)
            return None if found is None else _host(found)

        return await self._database.write(work)

    async def note_loaded(self, host_id: str, loaded: bytes) -> None:
        """As `ReplicaStore.note_loaded`."""
        await self._execute("UPDATE hosts SET loaded = %s WHERE host_id = %s", loaded, host_id)

    async def note_stage(self, host_id: str, stage: str) -> None:
        """As `ReplicaStore.note_stage`."""
        await self._execute("UPDATE hosts SET stage = %s WHERE host_id = %s", stage, host_id)

    async def remove_host(self, host_id: str) -> None:
        """As `ReplicaStore.remove_host`."""
        await self._execute("DELETE FROM hosts WHERE host_id = %s", host_id)

    async def held_jobs(self, host_ids: Collection[str]) -> list[Job]:
        """As `ReplicaStore.held_jobs`."""
        statement = f"{SELECT} WHERE host_id = ANY(%s::text[]) AND host_id <> '' AND {OPEN} ORDER BY job_id"
        return list(map(job_of, await self._rows(statement, list(host_ids))))

    async def stray_jobs(self) -> list[Job]:
        """As `ReplicaStore.stray_jobs`."""
        known = "SELECT 1 FROM hosts WHERE hosts.host_id = jobs.host_id"
        statement = f"{SELECT} WHERE host_id <> '' AND {OPEN} AND NOT EXISTS ({known}) ORDER BY job_id"
        return list(map(job_of, await self._rows(statement)))

    async def loads(self) -> dict[str, int]:
        """As `ReplicaStore.loads`."""
        which = f"{OPEN} AND (state = 'queued' OR host_id <> '')"
        return dict(map(tuple, await self._rows(f"SELECT expose, count(*) FROM jobs WHERE {which} GROUP BY expose")))

    async def queues(self) -> list[tuple[str, Isolation]]:
        """As `ReplicaStore.queues`."""
        found = await self._rows("SELECT DISTINCT expose, isolation FROM jobs WHERE state = 'queued'")
        return [(expose, Isolation(isolation)) for expose, isolation in found]

    async def claim(self, expose: str, isolation: Isolation, limit: int, rule: Rule) -> list[Written]:
        """As `ReplicaStore.claim`."""
        line = (expose, str(isolation))

        async def work(connection: Connection) -> list[Written]:
            jobs = list(map(job_of, await rows(connection, _FREE, *line, _LOOKED_AT * limit, limit)))
            jobs += await _limited(connection, line, limit - len(jobs))
            changes = [(job, rule(job)) for job in sorted(jobs, key=lambda job: job.job_id)]
            return await writes.apply(connection, [(job, change) for job, change in changes if change is not None])

        return await self._database.write(work)

    async def queued(self, expose: str) -> list[str]:
        """As `ReplicaStore.queued`."""
        statement = "SELECT job_id FROM jobs WHERE state = 'queued' AND expose = %s ORDER BY job_id"
        return [found[0] for found in await self._rows(statement, expose)]

    async def versions(self) -> dict[str, int]:
        """As `ReplicaStore.versions`."""
        return dict(map(tuple, await self._rows("SELECT expose, version FROM apps")))

    async def standings(self, exposes: Collection[str]) -> list[Standing]:
        """As `ReplicaStore.standings`."""
        found = await self._rows(
            "SELECT expose, state, message, detail, seen_at, flows FROM apps WHERE expose = ANY(%s::text[])",
            list(exposes),
        )
        return [
            Standing(expose=r[0], state=r[1], message=r[2], detail=r[3], seen_at=r[4], flows=bytes(r[5])) for r in found
        ]

    async def note_standing(self, standing: Standing) -> None:
        """As `ReplicaStore.note_standing`."""
        await self._execute(
            "UPDATE apps SET state = %s, message = %s, detail = %s, seen_at = %s, flows = %s WHERE expose = %s",
            standing.state,
            standing.message,
            standing.detail,
            standing.seen_at,
            standing.flows,
            standing.expose,
        )

    async def moved(self, job_ids: Sequence[str]) -> dict[str, Moved]:
        """As `ReplicaStore.moved`."""
        statement = f"SELECT job_id, last_seq, {ENDED} FROM jobs WHERE job_id = ANY(%s::text[])"
        found = await self._rows(statement, list(job_ids))
        return {job_id: Moved(last_seq, ended) for job_id, last_seq, ended in found}

    async def _rows(self, statement: str, *values: Any) -> list[Any]:
        return await self._database.read(lambda connection: rows(connection, statement, *values))

    async def _execute(self, statement: str, *values: Any) -> None:
        await self._database.write(lambda connection: rows(connection, statement, *values))


async def _limited(connection: Connection, line: tuple[str, str], limit: int) -> list[Job]:
    """Take jobs of targets of which only so many may run at once: whoever counts those that do counts alone."""
    if limit <= 0:
        return []
    taken: list[Job] = []
    for target, most in await rows(connection, _LIMITED, *line, _TARGETS_MAX):
        if len(taken) >= limit:
            break
        (alone,) = await row(connection, "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 2))", target)
        if not alone:
            continue
        statement = f"SELECT count(*) FROM jobs WHERE target = %s AND concurrency_limit > 0 AND state IN ({_HELD})"
        (held,) = await row(connection, statement, target)
        free = min(most - held, limit - len(taken))
        if free > 0:
            taken += map(job_of, await rows(connection, _OF_TARGET, *line, target, free))
    return taken


def _host(record: Sequence[Any]) -> HostRow:
    return HostRow(
        host_id=record[0],
        expose=record[1],
        runner_id=record[2],
        address=record[3],
        stage=record[4],
        loaded=None if record[5] is None else bytes(record[5]),
        beats=record[6],
    )
