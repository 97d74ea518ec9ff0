"""The programs a mesh is made of, by the names people use: the one table of them."""

import dataclasses

from agentmesh.supervisor.handing import (
    ADMIN_PASSWORD,
    DATABASE_URL,
    ENCRYPTION_KEY,
    FILES_OPTIONS,
    FILES_URL,
    OF_KODA,
    OTLP_HEADERS,
    PAYMENTS,
    PROVIDERS,
    RAY_TOKEN,
    REDIS_URL,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One program: a module that Python runs, as `_rooms.program` has it."""

    module: str
    probe: str = "grpc"
    """How one sees that it is ready: `grpc` asks grpc.health, `http` gets /health, `socket` looks for a unix socket,
    and `none` leaves it to whoever needs it."""
    stop_order: int
    """Those with a lower number are ended first."""
    preload: tuple[str, ...] = ()
    """What the forkserver imports for it.  Without, it is not forked: it starts an interpreter of its own."""
    loads_apps: bool = False
    """Whether the directory the mesh was started in is on its import path."""
    secrets: tuple[str, ...] = ()
    """Settings that it is handed, and no other program is."""

    @property
    def replicated(self) -> bool:
        """Whether there are several of it, where there are several of anything."""
        return self.probe == "grpc"


_SHARED = (DATABASE_URL, REDIS_URL, OTLP_HEADERS)
_KEPT = (*_SHARED, ENCRYPTION_KEY)
_GATEWAY = (
    "gateway.app",
    "gateway.edge.contract:learn",
    # uvicorn imports what it serves by when it begins.
    "uvicorn.lifespan.on",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
)
_EDGE = ("gateway.dialects", "gateway.edge.bootstrap", "gateway.edge.envoy")

SERVICES = {
    "auth": Service(
        module="services.auth", preload=("services.auth.app",), stop_order=3, secrets=(ADMIN_PASSWORD, *_SHARED)
    ),
    "registry": Service(module="services.registry", preload=("services.registry.app",), stop_order=3, secrets=_KEPT),
    "runner": Service(
        module="services.runner",
        preload=("services.runner.app",),
        stop_order=2,
        secrets=(*_KEPT, FILES_URL, FILES_OPTIONS),
    ),
    "payments": Service(
        module="services.payments", preload=("services.payments.app",), stop_order=3, secrets=(PAYMENTS, *_SHARED)
    ),
    "ledger": Service(
        module="services.ledger", preload=("services.ledger.app",), stop_order=3, secrets=(PROVIDERS, *_SHARED)
    ),
    "gateway": Service(module="gateway", preload=_GATEWAY, stop_order=2, secrets=(*OF_KODA, OTLP_HEADERS)),
    "nursery": Service(module="agentmesh.host", probe="socket", loads_apps=True, stop_order=3),
    "edge": Service(module="gateway.envoy", preload=_EDGE, probe="http", stop_order=1, secrets=(OTLP_HEADERS,)),
}
"""In the order in which they are started.  One that is probed by gRPC listens at NAME.sock in AGENTMESH_SOCKETS_DIR."""

CLUSTER = Service(module="agentmesh.cluster", probe="socket", loads_apps=True, stop_order=3, secrets=(RAY_TOKEN,))
"""In the place of the nursery where hosts are on a Ray cluster."""
RAY = Service(module="agentmesh.cluster.local", probe="none", loads_apps=True, stop_order=4, secrets=(RAY_TOKEN,))
"""A Ray of the mesh's own."""

REHEARSAL = "meshkit.rehearsal:rehearse"
"""What the forkserver calls when it has imported them all."""
