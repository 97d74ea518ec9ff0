"""Hosts reach the runner of their machine by a socket, however others do."""

import contextlib
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, app_pb2_grpc

from agentmesh.cli.machine import certs
from meshkit import client
from meshkit.identity import ServiceIdentity
from meshkit.net.tls import Tls, Wires
from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from services.runner import app as runner_app
from services.runner.config import Config
from services.runner.peers.memory import MemoryCatalogue, MemoryDefinitions
from services.runner.ports.catalogue import Offer
from tests.runner.stack import DEADLINE_S


@pytest_asyncio.fixture
async def gateway(tmp_path: pathlib.Path) -> AsyncIterator[Any]:
    """A runner at a TLS port, as the gateway of another machine calls it."""
    folder = tmp_path / "certs"
    certs.make(folder, 30)

    def of(service: str) -> dict[str, Any]:
        files = {"tls_ca": "ca.crt", "tls_cert": f"{service}.crt", "tls_key": f"{service}.key"}
        return {name: str(folder / file) for name, file in files.items()}

    async with contextlib.AsyncExitStack() as stack:
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="am-"))
        common: dict[str, Any] = {"data_dir": tmp_path, "sockets_dir": sockets, "grace_s": 0}
        auth_port = await stack.enter_async_context(
            auth_app.running(AuthConfig(auth_address="127.0.0.1:0", **of("auth"), **common))
        )
        common["auth_address"] = f"127.0.0.1:{auth_port}"
        config = Config(runner_address="127.0.0.1:0", engine=False, **of("runner"), **common)
        running = runner_app.running(config, catalogue=MemoryCatalogue(Offer()), definitions=MemoryDefinitions())
        port = await stack.enter_async_context(running)
        ours = Wires(Tls(folder / "ca.crt", folder / "gateway.crt", folder / "gateway.key"))
        peer = client.Peer(service="runner", address=f"127.0.0.1:{port}", wires=ours)
        yield await stack.enter_async_context(client.connect(peer, ServiceIdentity(config.secret, "gateway")))


async def test_a_host_needs_no_certificate(gateway: Any) -> None:
    """It loads its app, and says so, while everybody else talks to the runner by TLS."""
    deploy = app_pb2.DeployAppRequest(name="apps/demo", import_path="tests.runner.samples.flows:app")
    app = await app_pb2_grpc.AppServiceStub(gateway).DeployApp(deploy, timeout=DEADLINE_S)

    assert (1, "") == (app.ready_count, app.message)
