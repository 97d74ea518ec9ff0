"""What a mesh under faults stands on, which fails as well: servers, nodes of a cluster, a network."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from agentmesh.supervisor import ports
from tests.cluster.raylets import Cluster, cluster
from tests.faults.disks import disk
from tests.faults.plan import Fault, Kind
from tests.faults.relay import Way, may_have_namespaces, relaying
from tests.meshkit.redis_server import RedisServer, running_redis
from tests.servers.postgresql import Postgres, running_postgres

REPLICAS = 2
_NODES = 2
_SIDE = "side"
"""What the nodes have that are lost, and the apps ask for; the first node is the cluster's own."""
_ON_SIDE = f"deployments:\n- name: app\n  ray_actor_options:\n    resources: {{{_SIDE}: 1}}\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How something fails, and how it is well again; each returns when that is so."""

    begin: Callable[[Fault], None]
    end: Callable[[], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a mesh stands on."""

    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Settings of the mesh."""
    failures: Mapping[tuple[Kind, str], Failure] = dataclasses.field(default_factory=dict)
    """By kind and part."""
    folders: tuple[pathlib.Path, ...] = ()
    """Where servers keep what they have."""
    bootstrap: str = ""
    """What each expose says besides what it imports."""
    ways: tuple[str, ...] = ()
    """How failures are brought about that may be in more than one way."""
    hosts: Sequence[int] = ()
    """Processes besides the supervisor that start some of the mesh: hosts, which outlive a mesh that was killed."""


@contextlib.contextmanager
def embedded() -> Iterator[Ground]:
    """One process of each service, and SQLite."""
    yield Ground()


@contextlib.contextmanager
def replicas() -> Iterator[Ground]:
    """Two processes of each service, with PostgreSQL and Redis."""
    small = disk()
    with running_postgres(disk=small.under) as postgres, running_redis() as redis:
        # Logs of writes are to need more room soon, and not to take all of it.
        for name in ("max_wal_size", "min_wal_size"):
            postgres.sql(f"ALTER SYSTEM SET {name} = '48MB'")
        postgres.sql("SELECT pg_reload_conf()")
        env = {
            "AGENTMESH_DATABASE_URL": postgres.fresh(),
            "AGENTMESH_REDIS_URL": redis.url,
            "AGENTMESH_REPLICAS": str(REPLICAS),
        }
        full = Failure(begin=lambda _: small.fill(postgres), end=lambda: small.free(postgres))
        failures = _served("postgres", postgres) | _served("redis", redis)
        failures[(Kind.FULL, "postgres")] = full
        yield Ground(env=env, failures=failures, folders=(postgres.path,))


def _served(name: str, server: Postgres | RedisServer) -> dict[tuple[Kind, str], Failure]:
    kill = server.kill if isinstance(server, Postgres) else server.stop
    return {
        (Kind.GONE, name): Failure(begin=lambda _: server.stop(), end=server.start),
        (Kind.CRASHED, name): Failure(begin=lambda _: kill(), end=server.start),
        (Kind.STUCK, name): Failure(begin=lambda _: server.freeze(), end=server.thaw),
    }


@contextlib.contextmanager
def ray() -> Iterator[Ground]:
    """One process of each service, SQLite, and hosts on the nodes of a cluster, who reach the runner by a network."""
    (here, there), holds = ports.reserve(2)
    with contextlib.ExitStack() as stack:
        for hold in holds:
            stack.callback(hold.close)
        nodes = _Nodes(stack.enter_context(cluster()))
        way = stack.enter_context(relaying(here, there, namespaced=may_have_namespaces()))
        env = {
            **nodes.cluster.settings,
            "AGENTMESH_HOSTS_ADDRESS": f"127.0.0.1:{there}",
            "AGENTMESH_ADVERTISED_ADDRESS": way.address,
        }
        failures = {(Kind.LOST, "node"): Failure(begin=nodes.lose, end=nodes.add), **_cut(way)}
        yield Ground(
            env=env,
            failures=failures,
            ways=(f"the network is cut by {way.kind}",),
            bootstrap=_ON_SIDE,
            hosts=(nodes.cluster.pid,),
        )


def _cut(way: Way) -> dict[tuple[Kind, str], Failure]:
    return {(Kind.CUT, "network"): Failure(begin=lambda _: way.cut(), end=way.mend)}


class _Nodes:
    """Nodes that can be lost: each has room for all apps."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._names: list[str] = []
        for _ in range(_NODES):
            self.add()

    def add(self) -> None:
        """Add one."""
        self._names.append(self.cluster.add(**{_SIDE: 8}))

    def lose(self, fault: Fault) -> None:
        """Kill one."""
        self.cluster.kill(self._names.pop(int(fault.choice * len(self._names))))


GROUNDS: dict[str, Callable[[], contextlib.AbstractContextManager[Ground]]] = {
    "embedded": embedded,
    "replicas": replicas,
    "ray": ray,
}
"""By the name of the shape."""
