"""Where jobs are kept in PostgreSQL (`store`): a room for each kind of what is kept, the tables, and the search."""

from services.runner.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
