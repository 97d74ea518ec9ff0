"""Where jobs are kept in SQLite (`store`): a room for each kind of what is kept, the tables, and the search."""

from services.runner.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
