"""`agentmesh doctor`: what a mesh stands on, said before it is missed."""

import asyncio
import json
import pathlib
import socket
from typing import Any

import asyncpg
import pytest

from agentmesh.cli import app
from tests.meshkit.redis_server import running_redis
from tests.pems import Authority
from tests.ports import free_port
from tests.servers.postgresql import Postgres

SETTINGS = (
    "DATABASE_URL",
    "FILES_URL",
    "REDIS_URL",
    "RAY_ADDRESS",
    "OTLP_ENDPOINT",
    "EDGE_TLS_CERT",
    "EDGE_TLS_KEY",
    "PORT",
    "HOST",
)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what a test sets; the port is free."""
    for name in SETTINGS:
        monkeypatch.delenv(f"AGENTMESH_{name}", raising=False)
    monkeypatch.setenv("AGENTMESH_PORT", str(free_port()))


def asked(capsys: pytest.CaptureFixture[str], data_dir: pathlib.Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code and what is said, by name."""
    code = app.run(["doctor", "--json", "--data-dir", str(data_dir)])
    return code, {each["name"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}


def test_a_laptop_needs_nothing(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not configured is said to be unused; a folder that is not there yet is no trouble."""
    _, said = asked(capsys, tmp_path / "not" / "yet")

    assert {"disk", "port", "database", "redis", "ray", "telemetry", "clock", "namespaces", "cgroup"} <= said.keys()
    assert all(said[name]["given"] for name in ("port", "database", "job files", "redis", "ray", "telemetry"))
    assert "GiB free" in said["disk"]["note"]


async def test_what_answers_is_said_with_its_version(
    postgres_server: Postgres,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Migrations too, of each schema of ours that has some."""
    url = postgres_server.fresh()
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE SCHEMA agentmesh_auth; CREATE TABLE agentmesh_auth.migrations (number int);"
        "INSERT INTO agentmesh_auth.migrations VALUES (1), (2); CREATE SCHEMA agentmesh_empty"
    )
    await connection.close()
    monkeypatch.setenv("AGENTMESH_DATABASE_URL", url)
    with socket.create_server(("127.0.0.1", 0)) as listener, running_redis() as redis:
        monkeypatch.setenv("AGENTMESH_REDIS_URL", redis.url)
        monkeypatch.setenv("AGENTMESH_OTLP_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        said = await in_thread(capsys, tmp_path)

    assert said["database"]["note"].startswith("PostgreSQL ")
    assert said["database"]["note"].endswith("migrations: auth 2")
    assert not said["job files"]["given"]
    assert "AGENTMESH_FILES_URL" in said["job files"]["note"]
    assert said["telemetry"]["given"]
    assert said["redis"]["note"].startswith("Redis ")
    assert said["redis"]["given"]


async def in_thread(capsys: pytest.CaptureFixture[str], data_dir: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Ask where no loop runs, as the command line does."""
    _, said = await asyncio.to_thread(asked, capsys, data_dir)
    return said


def test_what_does_not_answer_fails_and_no_password_is_said(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each names its setting; the exit code is 1."""
    nobody = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("AGENTMESH_DATABASE_URL", f"postgresql://mesh:hunter2@{nobody}/mesh")
    monkeypatch.setenv("AGENTMESH_REDIS_URL", f"redis://:hunter2@{nobody}/0")
    monkeypatch.setenv("AGENTMESH_RAY_ADDRESS", f"ray://{nobody}")

    code, said = asked(capsys, tmp_path)

    assert 1 == code
    for name, setting in (("database", "DATABASE_URL"), ("redis", "REDIS_URL"), ("ray", "RAY_ADDRESS")):
        assert not said[name]["given"]
        assert said[name]["needed"]
        assert f"AGENTMESH_{setting}" in said[name]["note"]
    assert "hunter2" not in json.dumps(said)


def test_a_certificate_that_ends_soon_and_a_port_that_is_taken(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is a warning, the other a failure; so is a key of another certificate."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("site", to_days=5)
    _, other = authority.issue("other")
    monkeypatch.setenv("AGENTMESH_EDGE_TLS_CERT", str(cert))
    monkeypatch.setenv("AGENTMESH_EDGE_TLS_KEY", str(key))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("AGENTMESH_PORT", str(taken.getsockname()[1]))
        code, said = asked(capsys, tmp_path)
    monkeypatch.setenv("AGENTMESH_EDGE_TLS_KEY", str(other))
    _, wrong = asked(capsys, tmp_path)

    assert 1 == code
    assert "renew it" in said["certificate"]["note"]
    assert not said["certificate"]["needed"]
    assert "in use" in said["port"]["note"]
    assert wrong["certificate"]["needed"]
    assert not wrong["certificate"]["given"]
