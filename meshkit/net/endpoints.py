"""Where a service listens and is dialled: `unix:PATH`, or `HOST:PORT`; of several replicas, several with commas.

A unix socket is named in a folder that nobody else can write to: a name that no other user can take, also while its
service restarts, is what lets a caller believe that it talks to that service.  So whoever listens or dials looks at the
folder first, and makes it, for us alone, if it is not there.
"""

import contextlib
import dataclasses
import errno
import ipaddress
import os
import pathlib
import socket
import stat
import sys
from collections.abc import Iterator, Sequence

from meshkit.net.hosts import is_loopback

PATH_BYTES_MAX = 103 if sys.platform == "darwin" else 107
"""Of the path of a unix socket (unix(7), `sun_path`, without the byte that ends it)."""
_UNIX = "unix:"


@dataclasses.dataclass(frozen=True, slots=True)
class Unix:
    """A unix socket."""

    path: pathlib.Path

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return True

    @property
    def private(self) -> bool:
        """Whether only our user can reach it."""
        return True

    def __str__(self) -> str:
        return unix(self.path)

    def prepare(self) -> None:
        """Make sure that nobody else can take its name.  Raises `OSError` that says what to change."""
        length = len(os.fsencode(self.path))
        if length > PATH_BYTES_MAX:
            raise OSError(
                errno.ENAMETOOLONG,
                f"the path of a unix socket may have {PATH_BYTES_MAX} bytes, and {self.path} has {length}: set"
                " AGENTMESH_SOCKETS_DIR to a folder with a shorter path",
            )
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid in (os.geteuid(), 0)
        if not ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(
                errno.EPERM,
                f"{folder} belongs to somebody else, or others may write to it, so that they could take the socket's"
                f" place: give it to user {os.geteuid()} with mode 0700, or name another folder",
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP port."""

    host: str
    """An address or a name; without brackets."""
    port: int

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def private(self) -> bool:
        """Whether only our user can reach it."""
        return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Endpoint = Unix | Tcp


def parse(address: str) -> Endpoint:
    """Return what `unix:PATH` or `HOST:PORT` means.  Raises `ValueError`."""
    if address.startswith(_UNIX):
        path = pathlib.Path(address.removeprefix(_UNIX))
        if not path.name or "\0" in address:
            raise ValueError("must be unix:PATH, as in unix:/run/agentmesh/auth.sock")
        return Unix(path)
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:3371, or unix:PATH of a socket")
    return Tcp(host.removeprefix("[").removesuffix("]"), int(port))


def parse_all(addresses: str) -> tuple[Endpoint, ...]:
    """Return what a list with commas means, of which all must be sockets, all IP addresses, or there is only one name.

    Those are what gRPC can spread calls over.  Raises `ValueError`.
    """
    found = tuple(map(parse, split(addresses)))
    if len(found) > 1 and (len(set(map(_kind, found))) > 1 or is_name(found[0])):
        raise ValueError("several addresses must all be sockets, or all be IP addresses of one version")
    return found


def split(addresses: str) -> tuple[str, ...]:
    """Return the addresses in a list with commas."""
    return tuple(address.strip() for address in addresses.split(","))


def target(found: Sequence[Endpoint]) -> str:
    """Return what gRPC calls one or several endpoints."""
    if len(found) == 1:
        return str(found[0])
    texts = [str(each.path) if isinstance(each, Unix) else str(each) for each in found]
    return f"{_kind(found[0])}:{','.join(texts)}"


def several(found: Sequence[Endpoint]) -> bool:
    """Return whether more than one process may be behind endpoints: a name may have several addresses."""
    return len(found) > 1 or is_name(found[0])


def is_name(endpoint: Endpoint) -> bool:
    """Return whether an endpoint is to be looked up."""
    return _kind(endpoint) == "dns"


def _kind(endpoint: Endpoint) -> str:
    if isinstance(endpoint, Unix):
        return "unix"
    try:
        return f"ipv{ipaddress.ip_address(endpoint.host).version}"
    except ValueError:
        return "dns"


def unix(path: pathlib.Path) -> str:
    """Return the address of a unix socket."""
    return f"{_UNIX}{path}"


def whole(address: str) -> str:
    """Return an address that means the same in whatever folder somebody works."""
    endpoint = parse(address)
    return unix(endpoint.path.absolute()) if isinstance(endpoint, Unix) else address


@contextlib.contextmanager
def taking(endpoint: Endpoint) -> Iterator[None]:
    """Within the block somebody binds to `endpoint`: a unix socket is then only ours, and its name was free.

    Raises `OSError` if its folder is not ours alone, or somebody listens there already.
    """
    if isinstance(endpoint, Tcp):
        yield
        return
    endpoint.prepare()
    if _answers(endpoint.path):
        raise OSError(errno.EADDRINUSE, f"another process listens on {endpoint.path}")
    endpoint.path.unlink(missing_ok=True)  # of a process that was killed
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def listen(endpoint: Endpoint, backlog: int) -> socket.socket:
    """Return a listening socket; see `taking`."""
    if isinstance(endpoint, Tcp):
        return socket.create_server(
            (endpoint.host, endpoint.port), family=_family(endpoint.host), backlog=backlog, reuse_port=False
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with taking(endpoint):
            listener.bind(str(endpoint.path))
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def peer_uid(connection: socket.socket) -> int | None:
    """Return the user at the other end of a unix socket; None where the kernel does not say so to Python."""
    if connection.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder)  # struct ucred: pid, uid, gid


def _answers(path: pathlib.Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog is somebody, too
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
