"""The two processes as the supervisor starts them."""

import asyncio
import asyncio.subprocess
import os
import pathlib
import signal
import stat
import sys
import tempfile
from typing import Any

import grpc
import httpx
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from tests.gateway.stack import DEADLINE_S
from tests.ports import free_port

ROOT = pathlib.Path(__file__).parents[3]


async def start(module: str, **settings: Any) -> asyncio.subprocess.Process:
    """Start `python -m module` with these settings in its environment."""
    env = {f"AGENTMESH_{name.upper()}": str(value) for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", module, cwd=ROOT, env={**os.environ, **env})


async def test_they_serve_and_end_when_told(tmp_path: pathlib.Path) -> None:
    """Envoy waits for the auth service; both end when they are told to, with 0."""
    grpc_port, web_port, port, auth_port = (free_port() for _ in range(4))
    settings = {
        "data_dir": tmp_path,
        "auth_address": f"127.0.0.1:{auth_port}",
        "gateway_address": f"127.0.0.1:{grpc_port}",
        "web_address": f"127.0.0.1:{web_port}",
        "port": port,
    }
    edge = await start("gateway.envoy", **settings)
    gateway = await start("gateway", **settings)
    try:
        config = AuthConfig(data_dir=tmp_path, auth_address=f"127.0.0.1:{auth_port}", grace_s=0)
        async with auth_app.running(config), grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S, wait_for_ready=True)
            status = await until_answered(f"http://127.0.0.1:{port}/role", edge)
            mode = (tmp_path / "envoy" / "bootstrap.json").stat().st_mode & 0o777
            for process in (edge, gateway):
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_S):
                codes = [await edge.wait(), await gateway.wait()]
    finally:
        for process in (edge, gateway):
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert status == 401
    assert mode == 0o600
    assert codes == [0, 0]


async def test_by_default_they_meet_at_sockets_in_the_data_directory() -> None:
    """Nothing is said but where that is: no port is opened but the front door's, and Envoy's controls if one asks."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="am-") as name:
        folder = pathlib.Path(name)
        admin = folder / "own" / "admin.sock"
        settings = {"data_dir": folder, "port": port, "admin_address": f"unix:{admin}"}
        processes = [await start(module, **settings) for module in ("services.auth", "gateway", "gateway.envoy")]
        try:
            status = await until_answered(f"http://127.0.0.1:{port}/role", processes[-1])
            async with httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(admin)), timeout=DEADLINE_S
            ) as http:
                stats = await http.get("http://envoy/ready")
            mode = stat.S_IMODE(admin.stat().st_mode)
            there = {path.name for path in (folder / "sockets").iterdir()}
            listening = {
                connection.laddr.port
                for process in processes
                for connection in psutil.Process(process.pid).net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
            second = await start("services.auth", **settings)
            refused = await asyncio.wait_for(second.wait(), DEADLINE_S)
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    assert 401 == status
    assert 200 == stats.status_code
    assert 0o600 == mode
    assert {"auth.sock", "gateway.sock", "web.sock"} == there
    assert {port} == listening
    assert 1 == refused, "another process has its place"


async def until_answered(url: str, process: asyncio.subprocess.Process) -> int:
    """Return the status of the first answer; the connection is refused until Envoy listens."""
    async with asyncio.timeout(2 * DEADLINE_S), httpx.AsyncClient(timeout=DEADLINE_S) as http:
        while True:
            assert process.returncode is None, "Envoy ended"
            try:
                return (await http.get(url)).status_code
            except httpx.ConnectError:
                await asyncio.sleep(0.05)  # nothing tells when another process listens
