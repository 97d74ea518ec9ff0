"""What a dialect is: one foreign API, with everything of it in one object that its folder exports as `DIALECT`.

The kernel and the edge know dialects as these objects only.  What the contract says already (paths, who may call, the
naming of JSON) is read from the descriptors of the package, and stands nowhere else.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from agentmesh_protos.gateway.v1 import options_pb2

from gateway.config import Config, EdgeConfig
from gateway.edge import contract, prefixes
from gateway.edge.front import Rates
from gateway.http import sse
from gateway.http.exchange import Asked
from gateway.http.passages import Passage
from gateway.http.session import Session
from gateway.http.shapes import Reference
from meshkit.access import Finder
from meshkit.errors import MeshError
from meshkit.verifier import MESH, Credentials

ROOT = "mesh.dialects."
"""How the packages of all dialects begin."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A gRPC service of a dialect and who answers it."""

    name: str
    """Its full name: `mesh.dialects.kodosumi.v1.SignInService`."""
    add: Callable[[Any, Any], None]
    """The generated `add_…Servicer_to_server`."""
    servicer: Callable[[Any], Any]
    """Makes the servicer of the mesh's stubs (`gateway.core.peers.Peers`); most often its class."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """A WebSocket of a dialect and who serves it."""

    path: str
    """Its path, with `{name}` for a variable segment."""
    endpoint: Callable[[Any], Callable[[Session], Awaitable[None]]]
    """Makes, of the mesh's stubs, what serves one session: a class with `__call__`.  When that returns the WebSocket is
    closed; what it raises is said before."""
    access: int = options_pb2.ACCESS_USER
    """An `Access` of the options: who may open it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Through:
    """Paths of a dialect below which HTTP is passed on as it is."""

    prefix: str
    """Such as `/-/`."""
    passage: Callable[[Any], Passage]
    """Makes, of the mesh's stubs, what answers there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An error as the dialect shows it."""

    status: int
    body: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One foreign API."""

    package: str
    """Of its protos: `mesh.dialects.kodosumi.v1`."""
    services: tuple[Service, ...] = ()
    """Every service of the package."""
    sockets: tuple[Socket, ...] = ()
    passages: tuple[Through, ...] = ()
    unserved: tuple[str, ...] = ()
    """Paths of the original that are not served: who asks for them is told so in the dialect's words."""
    render: Callable[[MeshError, Asked], Rendered]
    """How it says that something went wrong."""
    error_type: str = "application/json"
    """The media type of those bodies."""
    broken: Callable[[MeshError, str], bytes] = sse.broken
    """What it says at the end of a stream of this media type that something has broken off."""
    envoy_body: Callable[[int], Mapping[str, Any]]
    """The JSON of Envoy's own reply with this HTTP status, with Envoy's `%COMMAND%`s in it."""
    reference: Reference
    """What its reference says beyond the contract."""
    states: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Its word for each `JobState` by name, such as `QUEUED`; empty if it shows no jobs."""
    credentials: Credentials = MESH
    """Where its callers put their token."""
    own_cookies: tuple[str, ...] = ()
    """Cookies beside those of `credentials` that count where the page is ours only."""
    keys: Callable[[Any, Config], Finder] | None = None
    """Makes, of the mesh's stubs and the settings, what finds a caller's token where they may send something else that
    stands for one; None: `credentials` find it."""
    rates: Rates = dataclasses.field(default_factory=dict)
    """What its contract lets a user send, by tier, beside what the mesh does (`gateway.config.RATES`)."""
    tuned: Callable[[EdgeConfig], Rates] | None = None
    """Makes the same of the settings, if operators may tune it; in place of `rates`."""
    is_caseless: bool = False
    """Whether upper and lower case are the same in its paths."""
    local_pages: bool = False
    """Whether pages of any port of this machine may call it (CORS), while the mesh listens on loopback only."""

    @property
    def name(self) -> str:
        """Its folder's: `kodosumi`."""
        return self.package.removeprefix(ROOT).partition(".")[0]

    def rates_by(self, config: EdgeConfig) -> Rates:
        """Return what a user may send, by tier, beside what the mesh lets them."""
        return self.rates if self.tuned is None else self.tuned(config)

    @property
    def socket_paths(self) -> tuple[str, ...]:
        """The path templates of its WebSockets."""
        return tuple(socket.path for socket in self.sockets)

    @property
    def document_paths(self) -> tuple[str, ...]:
        """Where its reference is, beside `/openapi/{name}.json`."""
        return self.reference.also_at

    @property
    def passage_prefixes(self) -> tuple[str, ...]:
        """Below which paths HTTP is passed on as it is."""
        return tuple(through.prefix for through in self.passages)


class Dialects:
    """Every dialect, found by what a request asks for.  The first one's shape is for paths that are nobody else's."""

    def __init__(self, dialects: Sequence[Dialect], services: Iterable[contract.Service]) -> None:
        self.all = tuple(dialects)
        self._by_package = {dialect.package: dialect for dialect in dialects}
        owned = prefixes.of_dialects(dialects, services)
        self._prefixes = [(prefix, dialect) for dialect in dialects for prefix in owned[dialect.name]]

    def of_method(self, method: str) -> Dialect | None:
        """Return whose RPC `/package.Service/Method` is; None for what is no dialect's."""
        return self._by_package.get(method[1:].rpartition("/")[0].rpartition(".")[0])

    def of_path(self, path: str) -> Dialect:
        """Return whose a path is."""
        return next((dialect for prefix, dialect in self._prefixes if prefixes.covers(prefix, path)), self.all[0])

    def finders(self, peers: Any, config: Config) -> Callable[[str], Finder | None]:
        """Return what says who finds the token of an RPC's caller, None if its `credentials` do."""
        made = {dialect.package: dialect.keys(peers, config) for dialect in self.all if dialect.keys is not None}

        def finder(method: str) -> Finder | None:
            dialect = self.of_method(method)
            return None if dialect is None else made.get(dialect.package)

        return finder

    def credentials(self, method: str) -> Credentials:
        """Return where callers of an RPC put their token."""
        dialect = self.of_method(method)
        return MESH if dialect is None else dialect.credentials
