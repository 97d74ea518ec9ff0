"""What is left of what was deleted in PostgreSQL (`stores.remains`), within somebody's transaction."""

from meshkit.postgres import Connection, Database
from services.runner.stores.postgres.rows import octets, page, row, rows
from services.runner.stores.remains import BYTES_MAX, ROWS_MAX, TABLES, Left, Sweeper, Table


def sweeper(database: Database) -> Sweeper:
    """Return who sweeps a database; replicas do beside each other."""

    async def behind(left: Left) -> Left | None:
        statement = "SELECT kind, name FROM remains WHERE (kind, name) > (%s, %s) ORDER BY kind, name LIMIT 1"
        found = await database.read(lambda connection: row(connection, statement, *left))
        return None if found is None else (found[0], found[1])

    async def sweep(left: Left) -> bool:
        return await database.write(lambda connection: _sweep(connection, left))

    return Sweeper(behind, sweep)


async def leave(connection: Connection, kind: str, name: str, owner: str) -> bool:
    """Take away what goes with something that is deleted, up to a slice; return whether some is left for the sweeper.

    `owner` is whose it was: what is counted of theirs goes down as it is swept.
    """
    statement = "INSERT INTO remains (kind, name, owner) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    await rows(connection, statement, kind, name, owner)
    return await _slice(connection, kind, name)


async def _sweep(connection: Connection, left: Left) -> bool:
    """Take a slice of what is left of something; return whether there is more that no other replica has in hand."""
    statement = "SELECT 1 FROM remains WHERE kind = %s AND name = %s FOR UPDATE SKIP LOCKED"
    return await row(connection, statement, *left) is not None and await _slice(connection, *left)


async def _slice(connection: Connection, kind: str, name: str) -> bool:
    for table in TABLES[kind]:
        if await _is_left(connection, table, name):
            return True
    await rows(connection, "DELETE FROM remains WHERE kind = %s AND name = %s", kind, name)
    return False


async def _is_left(connection: Connection, table: Table, name: str) -> bool:
    """Take a slice of a table; return whether there is more of it."""
    mine = f"FROM {table.name} WHERE {table.whose} = %s"
    source = f"SELECT {', '.join((table.order, *table.large))} {mine} ORDER BY {table.order} LIMIT {ROWS_MAX}"
    chosen = page(table.order, source, table.order, octets(table.large), BYTES_MAX // 2)
    await rows(connection, f"DELETE {mine} AND {table.order} IN ({chosen})", name, name)
    return await row(connection, f"SELECT 1 {mine} LIMIT 1", name) is not None
