"""Where services listen: what an address means, and who could take a socket's name."""

import contextlib
import os
import pathlib
import socket
import stat
import tempfile
from collections.abc import Iterator

import pytest
from agentmesh_protos.gateway.v1 import options_pb2  # noqa: F401 # the rules of methods

from meshkit.net import endpoints
from meshkit.net.endpoints import Tcp, Unix

NOBODY = 65_534
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(prefix="am-") as name:
        yield pathlib.Path(name)


@contextlib.contextmanager
def somebody_else() -> Iterator[None]:
    """Be another user for the block, where we may be: root can be anybody."""
    if IS_ROOT:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if IS_ROOT:
            os.seteuid(0)


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("unix:/run/auth.sock", Unix(pathlib.Path("/run/auth.sock"))),
        ("unix:data/auth.sock", Unix(pathlib.Path("data/auth.sock"))),
        ("127.0.0.1:3371", Tcp("127.0.0.1", 3371)),
        ("[::1]:3371", Tcp("::1", 3371)),
        ("auth.internal:0", Tcp("auth.internal", 0)),
    ],
)
def test_an_address_is_a_socket_or_a_port(address: str, meant: endpoints.Endpoint) -> None:
    """As gRPC writes them."""
    assert meant == endpoints.parse(address)


@pytest.mark.parametrize("address", ["", "auth", ":3371", "host:", "host:70000", "unix:", "unix:/", "host:-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """With how one is written."""
    with pytest.raises(ValueError, match="must be"):
        endpoints.parse(address)


def test_a_socket_is_only_ours_and_so_is_the_folder_that_is_made_for_it(folder: pathlib.Path) -> None:
    """Nobody else can open it, or take its name while nobody listens."""
    place = Unix(folder / "new" / "auth.sock")

    with endpoints.listen(place, 1):
        assert 0o700 == stat.S_IMODE(place.path.parent.stat().st_mode)
        assert 0o600 == stat.S_IMODE(place.path.stat().st_mode)
    # The listener is closed, as of a service that was killed; its name stays, and stays ours.
    with endpoints.listen(place, 1):
        pass
    if IS_ROOT:
        os.chmod(folder, 0o755)
        with somebody_else(), socket.socket(socket.AF_UNIX) as probe:
            with pytest.raises(PermissionError):
                probe.connect(str(place.path))
            with pytest.raises(PermissionError):
                probe.bind(str(place.path.with_name("runner.sock")))


def test_the_mask_of_new_files_is_as_it_was(folder: pathlib.Path) -> None:
    """It is narrowed only while a socket is bound."""
    before = os.umask(0o022)
    os.umask(before)
    with endpoints.listen(Unix(folder / "auth.sock"), 1):
        pass

    after = os.umask(before)
    assert before == after


def test_a_folder_that_others_can_write_to_is_refused(folder: pathlib.Path) -> None:
    """By who listens and by who dials: both say what to change."""
    folder.chmod(0o770)

    with pytest.raises(PermissionError, match="mode 0700"):
        endpoints.listen(Unix(folder / "auth.sock"), 1)
    assert [] == list(folder.iterdir())


def test_a_folder_that_somebody_else_has_made_first_is_refused(folder: pathlib.Path) -> None:
    """Or a link to one: who dials there would talk to them."""
    (real := folder / "real").mkdir(mode=0o700)
    (link := folder / "link").symlink_to(real)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        Unix(link / "auth.sock").prepare()
    if IS_ROOT:
        os.chown(real, NOBODY, NOBODY)
        with pytest.raises(PermissionError, match="belongs to somebody else"):
            Unix(real / "auth.sock").prepare()


def test_a_name_in_use_is_not_taken_over(folder: pathlib.Path) -> None:
    """A second service at one address is told so, and the first one keeps it."""
    place = Unix(folder / "auth.sock")
    with endpoints.listen(place, 1) as listener:
        with pytest.raises(OSError, match="another process listens"):
            endpoints.listen(place, 1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place.path))
            accepted, _ = listener.accept()
            assert os.geteuid() == endpoints.peer_uid(accepted)
            accepted.close()


def test_a_path_that_is_too_long_is_said_so(folder: pathlib.Path) -> None:
    """With the setting that helps."""
    with pytest.raises(OSError, match="AGENTMESH_SOCKETS_DIR"):
        endpoints.listen(Unix(folder / ("d" * 100) / "auth.sock"), 1)


def test_the_peer_of_a_tcp_connection_is_not_known() -> None:
    """Only a unix socket tells whose it is."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        assert endpoints.peer_uid(client) is None


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        ("unix:/run/auth.sock", "unix:/run/auth.sock"),
        ("unix:/run/auth-1.sock, unix:/run/auth-2.sock", "unix:/run/auth-1.sock,/run/auth-2.sock"),
        ("10.0.0.1:3371,10.0.0.2:3371", "ipv4:10.0.0.1:3371,10.0.0.2:3371"),
        ("[::1]:1,[::2]:2", "ipv6:[::1]:1,[::2]:2"),
        ("auth.internal:3371", "auth.internal:3371"),
    ],
)
def test_several_addresses_are_one_target(addresses: str, target: str) -> None:
    """As gRPC writes it; of names there is one."""
    assert target == endpoints.target(endpoints.parse_all(addresses))


@pytest.mark.parametrize(
    "addresses", ["", "unix:/a,", "unix:/a,10.0.0.1:1", "a.internal:1,b.internal:1", "[::1]:1,127.0.0.1:1"]
)
def test_addresses_that_calls_cannot_be_spread_over_are_refused(addresses: str) -> None:
    """Of several kinds, or several names."""
    with pytest.raises(ValueError, match="must"):
        endpoints.parse_all(addresses)
