"""TLS between services of different machines: each shows a certificate with its name, signed by the mesh's own CA.

On one machine services talk through unix sockets, and need none (`meshkit.net.endpoints`).  With a CA, a certificate
and a key every port is TLS, in both directions: who shows no certificate of that CA is not let in, and who calls the
runner talks to nobody but the holder of a certificate for `runner.agentmesh`.  Without them a port that other machines
can reach is refused, unless that is what somebody wants.
"""

import dataclasses
import errno
import pathlib
import ssl
from collections.abc import Iterable, Sequence

import grpc

from meshkit.net.endpoints import Endpoint

_DOMAIN = "agentmesh"
_STEPS_MAX = 20
"""Of a handshake with ourselves; it takes four."""


def name_of(service: str) -> str:
    """Return the name in a service's certificate: `runner.agentmesh`."""
    return f"{service}.{_DOMAIN}"


class Unsafe(OSError):
    """A connection that is not to be made, or a certificate that does not hold; the message says what to change."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EPERM, message)


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """The files of one service, in PEM."""

    ca: pathlib.Path
    """Who signs for this mesh, and for nothing else."""
    cert: pathlib.Path
    """Of the service, with what lies between it and the CA."""
    key: pathlib.Path
    is_mutual: bool = dataclasses.field(default=True, kw_only=True)
    """Whether who calls shows a certificate of the CA's, too; if not, it says with a badge alone who it is."""

    def check(self, service: str) -> None:
        """Raise `Unsafe` unless peers would take this certificate for the service's: they would not say why."""
        try:
            server = self.context(ssl.PROTOCOL_TLS_SERVER)
            client = self.context(ssl.PROTOCOL_TLS_CLIENT)
            _shake_hands(server, client, name_of(service))
        except ssl.SSLCertVerificationError as error:
            raise Unsafe(f"the certificate {self.cert} does not hold for {service}: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise Unsafe(f"{self.cert}, {self.key} and {self.ca} do not go together: {error.reason}") from error
        except OSError as error:
            raise Unsafe(f"a file for TLS cannot be read: {error.filename or self.cert}: {error.strerror}") from error

    def context(self, protocol: int) -> ssl.SSLContext:
        """Return a context that shows our certificate and wants one of the CA's.  Raises `OSError`."""
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert, self.key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server listens with.  Raises `OSError`."""
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        return grpc.ssl_server_credentials([pair], self.ca.read_bytes(), require_client_auth=self.is_mutual)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return what a gRPC channel is opened with.  Raises `OSError`."""
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), self.key.read_bytes(), self.cert.read_bytes())


@dataclasses.dataclass(frozen=True, slots=True)
class Wires:
    """How services may be connected."""

    tls: Tls | None = None
    plain: bool = False
    """Whether other machines may be talked to without TLS."""

    def over(self, endpoint: Endpoint) -> Tls | None:
        """Return what to use TLS with at an endpoint, None to use none.  Raises `Unsafe` if it must be used."""
        if endpoint.private:
            return None
        if self.tls is None and not (endpoint.local or self.plain):
            raise Unsafe(
                f"{endpoint} can be reached from other machines, and nothing would be encrypted or known to be who it"
                " says: set AGENTMESH_TLS_CA, AGENTMESH_TLS_CERT and AGENTMESH_TLS_KEY (`agentmesh certs` makes them)"
            )
        return self.tls

    def over_all(self, found: Sequence[Endpoint]) -> Tls | None:
        """Return the same for endpoints of one kind.  Raises `Unsafe`."""
        each = [self.over(endpoint) for endpoint in found]  # all of them: any may be one that must be refused
        return each[0]


NOTHING_ELSE = Wires()
"""No TLS, and so only what is on this machine."""


def names(alternatives: Iterable[bytes | str | None]) -> set[str]:
    """Return the services in the names of a certificate that was verified."""
    texts = (each.decode(errors="replace") if isinstance(each, bytes) else each or "" for each in alternatives)
    return {text.removesuffix(f".{_DOMAIN}") for text in texts if text.endswith(f".{_DOMAIN}")}


def check_pair(cert: pathlib.Path, key: pathlib.Path) -> None:
    """Raise `Unsafe` unless a server can show this certificate to its clients, whoever has signed it."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise Unsafe(f"{cert} and {key} do not go together, or are no PEM: {error.reason}") from error
    except OSError as error:
        raise Unsafe(f"a file for TLS cannot be read: {error.filename or cert} or {key}: {error.strerror}") from error


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Connect two contexts with each other, in memory.  Raises `ssl.SSLError`."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(_STEPS_MAX):
        waiting = []
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(end)
        if not waiting:
            return
    raise ssl.SSLError("the handshake does not end")
