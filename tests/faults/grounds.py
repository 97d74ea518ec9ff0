"""What a mesh under faults stands on: nothing, or servers that fail as well."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping

from tests.meshkit.redis_server import running_redis
from tests.servers.postgresql import running_postgres

REPLICAS = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What can be done to a server; its address stays."""

    start: Callable[[], None]
    stop: Callable[[], None]
    kill: Callable[[], None]
    freeze: Callable[[], None]
    thaw: Callable[[], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a mesh stands on."""

    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Settings of the mesh."""
    servers: Mapping[str, Server] = dataclasses.field(default_factory=dict)
    """By the names of `plan.SERVERS`."""
    folders: tuple[pathlib.Path, ...] = ()
    """Where those keep what they have."""


@contextlib.contextmanager
def embedded() -> Iterator[Ground]:
    """One process of each service, and SQLite."""
    yield Ground()


@contextlib.contextmanager
def replicas() -> Iterator[Ground]:
    """Two processes of each service, with PostgreSQL and Redis."""
    with running_postgres() as postgres, running_redis() as redis:
        env = {
            "AGENTMESH_DATABASE_URL": postgres.fresh(),
            "AGENTMESH_REDIS_URL": redis.url,
            "AGENTMESH_REPLICAS": str(REPLICAS),
        }
        servers = {
            "postgres": Server(
                start=postgres.start,
                stop=postgres.stop,
                kill=postgres.kill,
                freeze=postgres.freeze,
                thaw=postgres.thaw,
            ),
            "redis": Server(
                start=redis.start,
                stop=redis.stop,
                kill=redis.stop,
                freeze=redis.freeze,
                thaw=redis.thaw,
            ),
        }
        yield Ground(env=env, servers=servers, folders=(postgres.path,))


GROUNDS: dict[str, Callable[[], contextlib.AbstractContextManager[Ground]]] = {
    "embedded": embedded,
    "replicas": replicas,
}
"""By the name of the shape."""
