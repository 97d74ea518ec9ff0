"""A client at a port that speaks otherwise: it says what is wrong, and gRPC's core says nothing beside it."""

import contextlib
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

from tests import pems

_LOGIN = """
import sys
from agentmesh.client import Client, Unreachable
with Client(sys.argv[1]) as client:
    try:
        client.login("a", "b")
    except Unreachable as error:
        print(error)
"""


@contextlib.contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer whoever connects, for the length of the block; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer, contextlib.suppress(OSError):
                        answer(peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def said(url: str) -> subprocess.CompletedProcess[str]:
    """Return what a program prints that signs in there."""
    command = [sys.executable, "-P", "-c", _LOGIN, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def in_plain_text(peer: socket.socket) -> None:
    """Answer as a web server does that was asked for something strange."""
    peer.recv(1024)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


def test_tls_where_there_is_none() -> None:
    """The message has the address that is right."""
    with listening(in_plain_text) as port:
        done = said(f"https://127.0.0.1:{port}")

    assert f"what answers at https://127.0.0.1:{port} speaks no TLS: write http://127.0.0.1:{port}\n" == done.stdout
    assert "" == done.stderr


def test_no_tls_where_there_is(tmp_path: pathlib.Path) -> None:
    """And of a certificate that nobody knows, what to name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pems.Authority(tmp_path).issue("front"))

    def in_tls(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as secure:
            secure.recv(1024)

    with listening(in_tls) as port:
        plain, unknown = said(f"http://127.0.0.1:{port}"), said(f"https://127.0.0.1:{port}")

    assert plain.stdout.endswith(f"if it is a mesh with TLS, write https://127.0.0.1:{port}\n")
    assert "is signed by nobody who is trusted here" in unknown.stdout
    assert "AGENTMESH_CA" in unknown.stdout
    assert ["", ""] == [plain.stderr, unknown.stderr]


def test_a_web_server_is_no_mesh() -> None:
    """It speaks HTTP, and no gRPC."""
    with listening(in_plain_text) as port:
        done = said(f"http://127.0.0.1:{port}")

    assert f"what answers at http://127.0.0.1:{port} speaks no gRPC" in done.stdout
    assert "" == done.stderr
