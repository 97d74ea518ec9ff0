"""PostgreSQL in a temporary folder, reached by a unix socket."""

import contextlib
import itertools
import pathlib
import shutil
import signal
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator

from tests.servers.process import NotThere, Server, folder, unprivileged

USER = "mesh"
_ICU = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "10s",
}
Disk = Callable[[pathlib.Path], contextlib.AbstractContextManager[object]]
_HASTE = {"fsync": "off", "full_page_writes": "off"}
"""What is committed survives the server, though not the machine."""


def programs() -> pathlib.Path:
    """Return the folder of PostgreSQL's programs.  Raises `NotThere`."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    if (alone := shutil.which("postgres")) is not None:
        return pathlib.Path(alone).resolve().parent
    raise NotThere("PostgreSQL is not installed: run tools/servers.sh")


class Postgres(Server):
    """A PostgreSQL server whose databases sort by the words of a language, as those of most people do."""

    hurry = signal.SIGQUIT

    def __init__(self, path: pathlib.Path, *, durable: bool) -> None:
        settings = _SETTINGS | ({} if durable else _HASTE) | {"unix_socket_directories": str(path)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        super().__init__([str(programs() / "postgres"), "-D", str(path / "data"), *options], path)
        self._numbers = itertools.count(1)

    def create(self) -> None:
        """Make its data folder."""
        made = subprocess.run(
            [str(programs() / "initdb"), "-D", str(self.path / "data"), "-U", USER, "-A", "trust", "--no-sync", *_ICU],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.path,
            timeout=120,
            **unprivileged(),
        )
        if made.returncode:
            raise NotThere(f"initdb: {made.stderr[-2000:]}")

    def answers(self) -> bool:
        """Return whether it takes queries."""
        return not self._psql("SELECT 1").returncode

    def sql(self, command: str, database: str = "postgres") -> str:
        """Carry out SQL as its superuser; return what it prints, without frames.  Raises `RuntimeError`."""
        done = self._psql(command, database)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def fresh(self) -> str:
        """Make an empty database, and return its URL."""
        name = f"mesh_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{USER}@/{database}?host={urllib.parse.quote(str(self.path), safe='')}"

    def _psql(self, command: str, database: str = "postgres") -> subprocess.CompletedProcess[str]:
        address = ["-h", str(self.path), "-U", USER, "-d", database]
        return subprocess.run(
            [str(programs() / "psql"), "-X", "-q", "-A", "-t", *address, "-v", "ON_ERROR_STOP=1", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )


@contextlib.contextmanager
def running_postgres(*, durable: bool = False, disk: Disk = contextlib.nullcontext) -> Iterator[Postgres]:
    """Run a server for the length of the block.  A `durable` one syncs its disk, as a user's does.

    `disk` may put something under the folder of its data.
    """
    with folder("pg") as path, disk(path / "data"):
        server = Postgres(path, durable=durable)
        server.create()
        try:
            server.start()
            yield server
        finally:
            server.stop(server.hurry)  # nothing of it is kept
