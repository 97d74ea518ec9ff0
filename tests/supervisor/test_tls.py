"""`agentmesh up --tls-cert --tls-key`: the front door speaks TLS, with whatever certificate it is given."""

import contextlib
import dataclasses
import json
import pathlib
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from websockets.sync.client import connect

from agentmesh.cli import app
from agentmesh.client import Client
from agentmesh.testing import Mesh, running_mesh
from tests.mesh_wide.panel import until_healthy
from tests.pems import Authority

DEADLINE_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A mesh that speaks TLS, and who has signed for it."""

    mesh: Mesh
    authority: Authority

    @property
    def trust(self) -> ssl.SSLContext:
        """Of a client who trusts that CA only."""
        return ssl.create_default_context(cafile=str(self.authority.pem))

    @property
    def port(self) -> int:
        """Of the front door."""
        return urlsplit(self.mesh.url).port or 0

    def shown(self) -> int:
        """Return the serial number of the certificate that a new client is shown."""
        with (
            socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as plain,
            self.trust.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            return int(dict(secure.getpeercert() or {})["serialNumber"], 16)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A mesh with an example, at https://localhost."""
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder)
    cert, key = authority.issue("site")
    options = ("--host", "localhost", "--tls-cert", str(cert), "--tls-key", str(key))
    with running_mesh(options=options, examples=True) as mesh:
        yield Site(mesh, authority)


def test_rest_and_cookies_are_secure(site: Site) -> None:
    """The ready line says https; over HTTP/1.1 and HTTP/2 a sign-in's cookie is for https only."""
    assert site.mesh.url.startswith("https://localhost:")
    with httpx.Client(base_url=site.mesh.url, verify=site.trust, timeout=DEADLINE_S) as http:
        signed_in = http.post("/api/login", json={"name": "admin", "password": "admin"})

        assert 200 == signed_in.status_code, signed_in.text
        assert "; Secure" in signed_in.headers["set-cookie"]
        assert 200 == http.get("/flow").status_code


def test_grpc_and_server_sent_events(site: Site) -> None:
    """The client of ours runs a job of an example that was booted through the same door; its stream is read as SSE."""
    client = Client(site.mesh.url, ca=site.authority.pem)
    try:
        token = client.login("admin", "admin").access_token
        job = client.run("noop", {})
        assert job.succeeded
    finally:
        client.close()
    headers = {"KODOSUMI_API_KEY": token}
    with (
        httpx.Client(base_url=site.mesh.url, verify=site.trust, timeout=DEADLINE_S) as http,
        http.stream("GET", f"/outputs/stream/{job.id}", headers=headers) as stream,
    ):
        assert "text/event-stream" == stream.headers["content-type"].partition(";")[0]
        assert any(line.startswith("data:") for line in stream.iter_lines())


def test_websockets(site: Site) -> None:
    """A job's log is watched through one over TLS."""
    client = Client(site.mesh.url, ca=site.authority.pem)
    try:
        token = client.login("admin", "admin").access_token
        job = client.run("noop", {})
    finally:
        client.close()
    with connect(
        f"wss://localhost:{site.port}/mesh/v1/jobs/{job.id}:watch",
        ssl=site.trust,
        additional_headers={"KODOSUMI_API_KEY": token},
        open_timeout=DEADLINE_S,
        proxy=None,
    ) as ws:
        assert json.loads(ws.recv(DEADLINE_S))


def test_clients_choose_http2_and_get_no_old_tls(site: Site) -> None:
    """ALPN offers h2 and http/1.1; a client that knows TLS 1.1 at most is not answered."""
    for offered in ("h2", "http/1.1"):
        trust = site.trust
        trust.set_alpn_protocols([offered])
        with (
            socket.create_connection(("127.0.0.1", site.port), DEADLINE_S) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            assert offered == secure.selected_alpn_protocol()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.deprecated_call():
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", site.port), DEADLINE_S) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain)


def test_plain_http_is_redirected_when_it_reads_and_refused_when_it_sends(site: Site) -> None:
    """A browser that was typed at finds its way; a password sent in the clear is not carried on."""
    with httpx.Client(base_url=f"http://localhost:{site.port}", timeout=DEADLINE_S) as http:
        asked = http.get("/inputs/-/noop?a=1")
        sent = http.post("/api/login", json={"name": "admin", "password": "admin"})

    assert (308, f"https://localhost:{site.port}/inputs/-/noop?a=1") == (asked.status_code, asked.headers["location"])
    assert 426 == sent.status_code
    assert "https" in sent.json()["error"]
    with grpc.insecure_channel(f"localhost:{site.port}") as channel, pytest.raises(grpc.RpcError):
        auth_pb2_grpc.AuthServiceStub(channel).GetJwks(auth_pb2.GetJwksRequest(), timeout=DEADLINE_S)


def test_a_renewed_certificate_is_shown_without_a_restart(site: Site) -> None:
    """Both files are moved into place: new connections see it, one that was open goes on."""
    with httpx.Client(base_url=site.mesh.url, verify=site.trust, timeout=DEADLINE_S) as before:
        until_healthy(before)
        serial = site.shown()

        site.authority.issue("site")

        deadline = time.monotonic() + DEADLINE_S
        while site.shown() == serial:
            assert time.monotonic() < deadline, "the old certificate is still shown"
        until_healthy(before)


def test_the_command_line_trusts_what_it_is_told_to(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """AGENTMESH_CA names the CA; without it the certificate is nobody's."""
    monkeypatch.setenv("AGENTMESH_CA", str(site.authority.pem))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.authority.pem.parent))

    assert 0 == app.run(["flows", "--url", site.mesh.url, "--json"])

    assert any("noop" in json.loads(line)["name"] for line in capsys.readouterr().out.splitlines())


def test_files_that_cannot_be_shown_are_named(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, with the file and what to do, and exit code 2; nothing was started."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("good")
    old, old_key = authority.issue("old", from_days=-9, to_days=-2)
    soon, soon_key = authority.issue("soon", from_days=2, to_days=3)
    bare, bare_key = authority.issue("bare", names=())
    (tmp_path / "text").write_text("hello")
    text = tmp_path / "text"
    cases = {
        ("--tls-cert", cert): "--tls-cert and --tls-key belong together",
        ("--tls-cert", cert, "--tls-key", old_key): f"{old_key} is not the key of --tls-cert {cert}",
        ("--tls-cert", old, "--tls-key", old_key): f"{old}: it has expired on",
        ("--tls-cert", soon, "--tls-key", soon_key): f"{soon}: it holds from",
        ("--tls-cert", bare, "--tls-key", bare_key): f"{bare}: it has no names",
        ("--tls-cert", text, "--tls-key", key): f"{text}: no certificate in PEM",
        ("--tls-cert", cert, "--tls-key", text): f"{text}: no key in PEM",
        ("--tls-cert", tmp_path / "none", "--tls-key", key): f"{tmp_path / 'none'}: No such file or directory",
    }
    for options, said in cases.items():
        with contextlib.suppress(SystemExit):
            assert 2 == app.run(["up", "--data-dir", str(tmp_path / "data"), *map(str, options)])
        assert said in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
