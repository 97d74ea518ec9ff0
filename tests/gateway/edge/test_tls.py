"""The edge on another machine than the services: every hop is TLS, and each end knows the other."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc

from agentmesh.cli.machine import certs
from gateway import app as gateway_app
from gateway.config import EdgeConfig
from gateway.edge import envoy
from gateway.edge.clusters import clusters
from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from tests.gateway.stack import DEADLINE_S, enveloped
from tests.ports import free_port

ANY = "127.0.0.1:0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The certificates of a mesh."""
    folder = tmp_path_factory.mktemp("certs")
    certs.make(folder, 30)
    return folder


def of(folder: pathlib.Path, service: str) -> dict[str, Any]:
    """Return the settings of a service."""
    return {
        "tls_ca": str(folder / "ca.crt"),
        "tls_cert": str(folder / f"{service}.crt"),
        "tls_key": str(folder / f"{service}.key"),
    }


@contextlib.asynccontextmanager
async def placed(folder: pathlib.Path, data_dir: pathlib.Path) -> AsyncIterator[EdgeConfig]:
    """Run auth and a gateway at TLS ports; yield the settings of an Envoy in front of them."""
    async with contextlib.AsyncExitStack() as stack:
        common: dict[str, Any] = {"data_dir": data_dir, "grace_s": 0.0}
        port = await stack.enter_async_context(
            auth_app.running(AuthConfig(auth_address=ANY, **of(folder, "auth"), **common))
        )
        common["auth_address"] = f"127.0.0.1:{port}"
        for other in ("registry", "runner", "payments", "ledger"):  # nobody is there
            common[f"{other}_address"] = f"127.0.0.1:{free_port()}"
        here: dict[str, Any] = {"gateway_address": ANY, "web_address": ANY}
        ports = await stack.enter_async_context(
            gateway_app.running(EdgeConfig(**common, **here, **of(folder, "gateway")))
        )
        there: dict[str, Any] = {"gateway_address": f"127.0.0.1:{ports.grpc}", "web_address": f"127.0.0.1:{ports.web}"}
        yield EdgeConfig(port=free_port(), **common, **there, **of(folder, "edge"))


async def test_the_edge_reaches_services_by_tls(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """REST by the gateway and from there to auth, typed gRPC straight to auth, pages by the web app."""
    async with placed(folder, tmp_path) as config:
        jwks_json = await envoy.fetch_jwks(config.peer("auth"), DEADLINE_S)
        async with (
            enveloped(config, jwks_json, tmp_path) as http,
            grpc.aio.insecure_channel(f"127.0.0.1:{config.port}") as channel,
        ):
            signed_in = await http.post("/api/login", json={"name": "admin", "password": "admin"})
            typed = await auth_pb2_grpc.AuthServiceStub(channel).GetJwks(auth_pb2.GetJwksRequest(), timeout=DEADLINE_S)
            async with asyncio.timeout(DEADLINE_S):  # who is slow to answer is said to be away
                while "SERVING" != (await http.get("/health")).json()["services"]["auth"]:
                    pass

    assert 200 == signed_in.status_code, signed_in.text
    assert jwks_json == typed.jwks_json


async def test_an_edge_of_another_name_or_ca_is_not_let_in(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The web app knows Envoy by its name; nobody answers an Envoy whose certificate is of another CA."""
    other = tmp_path / "other"
    certs.make(other, 30)
    async with placed(folder, tmp_path / "data") as config:
        jwks_json = await envoy.fetch_jwks(config.peer("auth"), DEADLINE_S)
        for wrong in (of(folder, "runner"), {**of(other, "edge"), "tls_ca": config.tls_ca}):
            moved = config.model_copy(update={"port": free_port(), **wrong})
            async with enveloped(moved, jwks_json, tmp_path) as http:
                refused: httpx.Response = await http.get("/health")
            assert 503 == refused.status_code
            assert "services" not in refused.json()


def test_the_edge_does_not_reach_other_machines_without_tls(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """It does not start; with certificates each cluster takes the one name that is its service's."""
    far: dict[str, Any] = {"data_dir": tmp_path, "runner_address": "runner.lan:3373", "web_address": "10.0.0.7:3376"}
    with pytest.raises(OSError, match="AGENTMESH_TLS_CA"):
        list(clusters(EdgeConfig(**far)))

    made = {each["name"]: each for each in clusters(EdgeConfig(**far, **of(folder, "edge")))}

    wanted = {
        name: cluster["transport_socket"]["typed_config"]["sni"]
        for name, cluster in made.items()
        if "transport_socket" in cluster
    }
    assert {"runner": "runner.agentmesh", "web": "gateway.agentmesh"} == wanted
