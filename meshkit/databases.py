"""Where a service keeps its state: `AGENTMESH_DATABASE_URL`, read once.

The scheme picks the adapter of every store.  A service matches on what `parse` returns, so a new kind of database
is a class here and an adapter in each service.
"""

import dataclasses
import importlib.util
import pathlib
import urllib.parse

SUPPORTED = "sqlite:///ABSOLUTE/FOLDER, postgresql://USER:PASSWORD@HOST:PORT/DATABASE or memory:"
_QUERY = ("host", "port", "user", "password", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey")
"""What a URL of PostgreSQL may say behind its question mark; libpq's names."""


@dataclasses.dataclass(frozen=True, slots=True)
class SqliteFolder:
    """A folder of SQLite files: each service has its own in it, and is the only one who writes it."""

    folder: pathlib.Path

    def file(self, service: str) -> pathlib.Path:
        """Return the file of a service, or of a part of one that keeps its own."""
        return self.folder / f"{service}.db"


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """Nothing is kept beyond the process: for tests and trials."""


@dataclasses.dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A PostgreSQL database: each service has a schema of its own in it, and any number of replicas write it."""

    url: str = dataclasses.field(repr=False)
    """With its password: not for logs."""

    @property
    def address(self) -> str:
        """Where it is, for people: no user, no password."""
        parts = urllib.parse.urlsplit(self.url)
        query = urllib.parse.parse_qs(parts.query)
        host = query["host"][-1] if "host" in query else parts.netloc.rpartition("@")[2] or "localhost"
        return f"{host}{parts.path}"

    def schema(self, service: str) -> str:
        """Return the name of a service's schema."""
        return f"agentmesh_{service}"


Place = SqliteFolder | PostgresDatabase | Memory


def parse(url: str, data_dir: pathlib.Path) -> Place:
    """Return the place that a URL names; an empty one names `data_dir`.

    Raises `ValueError`, saying what is supported, for a URL that names no place we know.
    """
    if not url:
        return SqliteFolder(data_dir)
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "memory" and not (parts.netloc or parts.path or parts.query or parts.fragment):
        return Memory()
    if parts.scheme == "sqlite":
        path = urllib.parse.unquote(parts.path)
        if parts.netloc or parts.query or parts.fragment or not path.startswith("/") or not path.strip("/"):
            raise ValueError("a SQLite URL looks like sqlite:///ABSOLUTE/FOLDER")
        return SqliteFolder(pathlib.Path("/" + path.lstrip("/")))
    if parts.scheme in ("postgresql", "postgres"):
        return _postgres(url)
    # Only the scheme is repeated: a URL of a database may hold a password.
    scheme = parts.scheme if "://" in url or url.endswith(":") else ""
    raise ValueError(f"{scheme or 'what it names'} is not supported: must be empty, {SUPPORTED}")


def _postgres(url: str) -> PostgresDatabase:
    parts = urllib.parse.urlsplit(url)
    looks = "a PostgreSQL URL looks like postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    try:
        query = urllib.parse.parse_qs(parts.query, strict_parsing=bool(parts.query))
        _ = parts.port
    except ValueError:
        raise ValueError(looks) from None
    if parts.fragment or not parts.path.strip("/") or "/" in parts.path[1:]:
        raise ValueError(looks)
    if unknown := [name for name in query if name not in _QUERY]:
        raise ValueError(f"{unknown[0][:40]} is none of what a PostgreSQL URL may set: {', '.join(_QUERY)}")
    if importlib.util.find_spec("asyncpg") is None:
        raise ValueError("PostgreSQL needs a driver that is not installed: pip install 'agentmesh[postgres]'")
    return PostgresDatabase(url)
