"""What a mesh stands on, for `agentmesh doctor`: disk, port, database, Redis, Ray, telemetry, certificates, clock.

Each is asked as the mesh would be configured here: by the environment and the data directory.  No answer takes longer
than some seconds, and none names a password.
"""

import asyncio
import contextlib
import ctypes
import ctypes.util
import datetime
import fcntl
import os
import pathlib
import shutil
import socket
import sqlite3
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agentmesh.cluster import standing
from agentmesh.host.confine import Measure

_WITHIN_S = 5.0
_FREE_LOW, _FREE_LEAST = 2 * 2**30, 200 * 2**20
_DAYS_LOW = 14
_SKEW_S = 2.0
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
_TIMEX_BYTES = 208
_OFFERS = ("pid", "user", "net")
_SCHEMA = "agentmesh_"


def all_of(environ: Mapping[str, str], data_dir: pathlib.Path) -> Iterator[Measure]:
    """Yield every check, in the order in which a mesh would notice."""
    runs = _mesh_runs(data_dir)
    yield _space(data_dir)
    yield _port(environ, runs=runs)
    yield _database(environ, data_dir)
    yield _files(environ, data_dir)
    asked: dict[str, tuple[str, Callable[[str], str]]] = {
        "redis": ("AGENTMESH_REDIS_URL", _redis),
        "ray": ("AGENTMESH_RAY_ADDRESS", _reached),
        "telemetry": ("AGENTMESH_OTLP_ENDPOINT", _reached),
    }
    for name, (setting, ask) in asked.items():
        if name == "ray" and runs and (said := standing.read(data_dir)) is not None:
            yield _hosts_on_ray(said)
        elif where := environ.get(setting, ""):
            yield _answered(name, where, setting, ask)
        else:
            yield Measure(name, True, f"none is used ({setting} is not set)", needed=False)
    for name, cert, key in (
        ("certificate", "AGENTMESH_EDGE_TLS_CERT", "AGENTMESH_EDGE_TLS_KEY"),
        ("service certificate", "AGENTMESH_TLS_CERT", "AGENTMESH_TLS_KEY"),
    ):
        if environ.get(cert):
            yield _certificate(name, pathlib.Path(environ[cert]), environ.get(key, ""))
    yield _clock()
    yield _namespaces()
    yield _cgroup()


def _mesh_runs(data_dir: pathlib.Path) -> bool:
    with contextlib.suppress(OSError), (data_dir / "up.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _space(data_dir: pathlib.Path) -> Measure:
    there = data_dir.absolute()
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        return Measure("disk", False, f"{there} cannot be written to: choose another folder with --data-dir")
    free = shutil.disk_usage(there).free
    said = f"{free / 2**30:.1f} GiB free at {there}"
    if free < _FREE_LEAST:
        return Measure("disk", False, f"{said}: writes will fail soon; make room")
    return Measure("disk", free >= _FREE_LOW, said if free >= _FREE_LOW else f"{said}: little", needed=False)


def _port(environ: Mapping[str, str], *, runs: bool) -> Measure:
    host, port = environ.get("AGENTMESH_HOST", "127.0.0.1"), int(environ.get("AGENTMESH_PORT", "3370"))
    if runs:
        return Measure("port", True, "a mesh runs in the data directory")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Measure("port", False, f"cannot listen at {host}:{port} ({error.strerror}): use --port for another")
    return Measure("port", True, f"{host}:{port} is free")


def _database(environ: Mapping[str, str], data_dir: pathlib.Path) -> Measure:
    url = environ.get("AGENTMESH_DATABASE_URL", "")
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres"):
        return _answered("database", url, "AGENTMESH_DATABASE_URL", lambda url: asyncio.run(_postgres(url)))
    folder = pathlib.Path(urllib.parse.unquote(rest.removeprefix("//"))) if scheme == "sqlite" else data_dir
    found = sorted(folder.glob("*.db"))
    if not found:
        return Measure("database", True, f"SQLite {sqlite3.sqlite_version}; nothing in {folder} yet")
    versions = []
    for path in found:
        try:
            with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            return Measure("database", False, f"{path} cannot be read ({error}): restore it from a backup")
        versions.append(f"{path.stem} {version}")
    return Measure("database", True, f"SQLite {sqlite3.sqlite_version}; migrations: {', '.join(versions)}")


def _files(environ: Mapping[str, str], data_dir: pathlib.Path) -> Measure:
    """Say where files of jobs are: several runners must find the same."""
    if environ.get("AGENTMESH_FILES_URL"):
        return Measure("job files", True, "where AGENTMESH_FILES_URL says; not in a backup", needed=False)
    said = f"in {data_dir.absolute() / 'files'}"
    if environ.get("AGENTMESH_DATABASE_URL", "").partition(":")[0] in ("postgresql", "postgres"):
        note = f"{said}; runners of several machines must share that folder, or set AGENTMESH_FILES_URL"
        return Measure("job files", False, note, needed=False)
    return Measure("job files", True, said, needed=False)


async def _postgres(url: str) -> str:
    import asyncpg

    connection = await asyncpg.connect(url, timeout=_WITHIN_S)
    try:
        theirs = (await connection.fetchval("SELECT clock_timestamp()")).timestamp()
        skew_s = abs(theirs - time.time())
        sql = (
            "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)"
            " AND to_regclass(format('%I.migrations', nspname)) IS NOT NULL ORDER BY nspname"
        )
        versions = []
        for row in await connection.fetch(sql, _SCHEMA):
            schema = str(row["nspname"])
            number = await connection.fetchval(f'SELECT coalesce(max(number), 0) FROM "{schema}".migrations')
            versions.append(f"{schema.removeprefix(_SCHEMA)} {number}")
        version = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close(timeout=_WITHIN_S)
    if skew_s > _SKEW_S:
        raise ValueError(f"its clock and ours are {skew_s:.0f} s apart: synchronise both")
    return f"PostgreSQL {version}; migrations: {', '.join(versions) or 'none yet'}"


def _redis(url: str) -> str:
    import redis

    with redis.Redis.from_url(url, socket_connect_timeout=_WITHIN_S, socket_timeout=_WITHIN_S) as client:
        return f"Redis {client.info('server')['redis_version']} answers"


def _hosts_on_ray(said: Mapping[str, Any]) -> Measure:
    """Say what the mesh that runs has on its cluster, and what waits there."""
    note = f"{len(said['hosts'])} hosts on {said['address']}, {said['ready']} ready for further ones"
    waiting = [f"{host_id} waits: {reason}" for host_id, reason in said["pending"].items()]
    away = [f"the cluster {said['away']}"] if said["away"] else []
    return Measure("ray", not (away or waiting), "; ".join([*away, note, *waiting]), needed=False)


def _reached(address: str) -> str:
    parts = urllib.parse.urlsplit(address if "://" in address else f"//{address}")
    default = {"ray": 10001, "https": 443}.get(parts.scheme, 4317)
    with socket.create_connection((parts.hostname or "", parts.port or default), _WITHIN_S):
        return f"{parts.hostname}:{parts.port or default} answers"


def _answered(name: str, where: str, setting: str, ask: Callable[[str], str]) -> Measure:
    try:
        return Measure(name, True, ask(where))
    except ImportError as error:
        return Measure(name, False, f"its driver is not installed ({error.name}): install agentmesh[{name_of(name)}]")
    except Exception as error:  # of a driver's: whatever it is, the mesh would have it, too
        return Measure(
            name, False, f"what {setting} names cannot be used ({type(error).__name__}: {_bare(error, where)})"
        )


def name_of(check: str) -> str:
    """Return the extra that brings the driver for a check."""
    return {"database": "postgres"}.get(check, check)


def _bare(error: Exception, where: str) -> str:
    text = str(error).partition("\n")[0][:200]
    password = urllib.parse.urlsplit(where).password
    return text.replace(password, "…") if password else text


def _certificate(name: str, cert: pathlib.Path, key: str) -> Measure:
    from agentmesh.cli.machine import certificates

    try:
        shown = certificates.checked(cert, pathlib.Path(key) if key else None)
    except ValueError as error:
        return Measure(name, False, str(error))
    days = (shown.expires_at - datetime.datetime.now(datetime.UTC)).days
    low = days < _DAYS_LOW
    return Measure(name, not low, f"{shown.name}: holds for {days} days{': renew it' if low else ''}", needed=False)


def _clock() -> Measure:
    if sys.platform != "linux":
        return Measure("clock", True, "not looked at on this platform", needed=False)
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # no modes: it only reads
    if state == _TIME_ERROR or state < 0:
        return Measure(
            "clock", False, "nothing keeps it right: tokens and leases need that on several machines", needed=False
        )
    return Measure("clock", True, "synchronised")


def _namespaces() -> Measure:
    have = [name for name in _OFFERS if pathlib.Path(f"/proc/self/ns/{name}").exists()]
    lacking = [name for name in _OFFERS if name not in have]
    return Measure("namespaces", not lacking, f"the kernel has {', '.join(have) or 'none'}", needed=False)


def _cgroup() -> Measure:
    root = pathlib.Path("/sys/fs/cgroup")
    if not (root / "cgroup.controllers").exists():
        return Measure("cgroup", False, "no cgroup v2: a job's tree is ended by a subreaper", needed=False)
    own = pathlib.Path("/proc/self/cgroup").read_text("utf-8").strip().rpartition(":")[2].lstrip("/")
    writable = os.access(root / own / "cgroup.procs", os.W_OK)
    return Measure("cgroup", writable, "v2, ours to divide" if writable else "v2, not ours to divide", needed=False)
