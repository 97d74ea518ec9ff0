"""A PostgreSQL database by its own tools, which copy one snapshot: pg_dump and pg_restore."""

import os
import pathlib
import shutil
import subprocess
import urllib.parse
from collections.abc import Sequence

from agentmesh.backups.archive import Broken

SCHEMAS = "agentmesh_*"
"""Of the services, each its own."""
_WITHIN_S = 6 * 3600.0
_DEBIAN = "/usr/lib/postgresql"


def is_postgres(url: str) -> bool:
    """Return whether a database URL names PostgreSQL."""
    return url.partition(":")[0] in ("postgresql", "postgres")


def dump(url: str, target: pathlib.Path) -> None:
    """Write the schemas of the mesh, as of one snapshot, to `target`.  Raises `ValueError`."""
    _run("pg_dump", url, ["--format=custom", "--no-owner", f"--schema={SCHEMAS}", f"--file={target}"])
    target.chmod(0o600)


def restore(url: str, source: pathlib.Path, *, replace: bool) -> None:
    """Put schemas back, all or nothing.  Raises `ValueError` if there are such already, unless they may be replaced."""
    more = ["--clean", "--if-exists"] if replace else []
    shared = ["--single-transaction", "--exit-on-error", "--no-owner", *more]
    _run("pg_restore", url, [*shared, str(source)])


def without_password(url: str) -> tuple[str, str]:
    """Return a URL that may stand in a command line, and the password that was in it."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = urllib.parse.parse_qsl(parts.query)
    password = urllib.parse.unquote(password) or dict(query).get("password", "")
    rest = urllib.parse.urlencode([(key, value) for key, value in query if key != "password"], safe="/")
    # By hand: what puts URLs together leaves out the slashes of one without a host.
    return f"{parts.scheme}://{name}{at}{host}{parts.path}{'?' if rest else ''}{rest}", password


def _run(program: str, url: str, arguments: Sequence[str]) -> None:
    bare, password = without_password(url)
    environ = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    command = [_found(program), f"--dbname={bare}", "--no-password", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise Broken(f"{program} failed: {'; '.join(lines[:3])[:500]}")


def _found(program: str) -> str:
    if found := shutil.which(program):
        return found
    # Debian keeps each version's in a folder of its own; the newest reads every older server.
    versions = sorted(pathlib.Path(_DEBIAN).glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]))
    if versions:
        return str(versions[-1])
    raise ValueError(
        f"{program} is not here, and a PostgreSQL is copied by nothing else: install PostgreSQL's client programs"
        " (Debian: postgresql-client), of the server's version or a newer one"
    )
