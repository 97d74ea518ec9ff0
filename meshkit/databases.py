"""Where a service keeps its state: `AGENTMESH_DATABASE_URL`, read once.

The scheme picks the adapter of every store.  A service matches on what `parse` returns, so a new kind of database
is a class here and an adapter in each service.
"""

import dataclasses
import pathlib
import urllib.parse

SUPPORTED = "sqlite:///ABSOLUTE/FOLDER or memory:"


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


Place = SqliteFolder | Memory


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
    # Only the scheme is repeated: a URL of a database may hold a password.
    scheme = parts.scheme if "://" in url or url.endswith(":") else ""
    raise ValueError(f"{scheme or 'what it names'} is not supported: must be empty, {SUPPORTED}")
