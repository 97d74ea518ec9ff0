"""Secrets are taken out of the environment, and reach the program that needs them."""

import asyncio
import json
import os
import pathlib
import subprocess
import sys
import uuid

import pydantic
import pytest

from agentmesh.supervisor import child, handing
from agentmesh.supervisor.logs import LogPump
from agentmesh.supervisor.services import CLUSTER, RAY, SERVICES
from gateway.config import EdgeConfig
from meshkit.service import Settings
from services.auth.config import Config as AuthConfig
from services.ledger.config import Config as LedgerConfig
from services.payments.config import Config as PaymentsConfig
from services.registry.config import Config as RegistryConfig
from services.runner.config import Config as RunnerConfig

CONFIGS: list[type[Settings]] = [AuthConfig, RegistryConfig, RunnerConfig, PaymentsConfig, LedgerConfig, EdgeConfig]
MASUMI = {"provider": "masumi", "url": "https://example.com", "token": "secret"}


def test_secrets_are_taken_out() -> None:
    """With what the mesh has no use for; settings stay."""
    environ = {
        "PATH": "/bin",
        "AGENTMESH_PORT": "1",
        "CONTROL_PLANE_RATE_LIMIT": "2",
        "AGENTMESH_ADMIN_PASSWORD": "secret",
        "AGENTMESH_TOKEN": "the command line's",
        "AGENTMESH_THEIR_SECRET": "somebody's",
        "OPENAI_API_KEY": "a provider's",
        "AGENTMESH_TLS_KEY": "runner.key",
        "AGENTMESH_EDGE_TLS_KEY": "site.key",
    }

    passes, secrets = handing.split(environ)

    paths = {"AGENTMESH_TLS_KEY": "runner.key", "AGENTMESH_EDGE_TLS_KEY": "site.key"}
    assert {"PATH": "/bin", "AGENTMESH_PORT": "1", "CONTROL_PLANE_RATE_LIMIT": "2", **paths} == passes
    assert {"AGENTMESH_ADMIN_PASSWORD": "secret"} == secrets


def test_every_secret_of_a_service_is_known_as_one() -> None:
    """What a service reads as a secret is in no environment."""
    names = set()
    for config in CONFIGS:
        for name, field in config.model_fields.items():
            if field.annotation is pydantic.SecretStr:
                names.add(str(field.validation_alias or f"AGENTMESH_{name.upper()}"))

    assert names <= handing.SECRETS
    assert handing.SECRETS == {
        handing.PAYMENTS if name == handing.PROVIDERS else name
        for service in (*SERVICES.values(), CLUSTER, RAY)
        for name in service.secrets
    }


def test_the_ledger_is_told_of_providers_and_not_of_their_keys() -> None:
    """It needs to know whether it is one of them; what cannot be read, another service speaks of."""
    networks = json.dumps({"Preprod": {"provider": "ledger"}, "Mainnet": MASUMI})
    chosen = handing.chosen({handing.PAYMENTS: networks, handing.ADMIN_PASSWORD: "x"}, (handing.PROVIDERS,))

    assert {handing.PAYMENTS} == set(chosen)
    assert {"Preprod": {"provider": "ledger"}, "Mainnet": {"provider": "masumi"}} == json.loads(
        chosen[handing.PAYMENTS]
    )
    for broken in ("", "[", "[1]", '{"Mainnet": 1}', '{"Mainnet": {}}'):
        assert {} == json.loads(handing.chosen({handing.PAYMENTS: broken}, (handing.PROVIDERS,))[handing.PAYMENTS])


def test_more_than_a_pipe_holds_is_refused() -> None:
    """In words; nothing hangs."""
    with pytest.raises(handing.TooLong, match="AGENTMESH_PAYMENTS take more than"):
        handing.pipe({handing.PAYMENTS: "x" * handing.BYTES_MAX})


async def test_a_program_finds_its_secrets_once(tmp_path: pathlib.Path) -> None:
    """In its standard input: neither its environment nor its command line has them."""
    script = (
        "import json, os, pathlib, sys; from meshkit.secrets import handed; told = handed.take();"
        "seen = [pathlib.Path('/proc/self', name).read_bytes() for name in ('environ', 'cmdline')];"
        "shown = any(told['AGENTMESH_X'].encode() in each for each in seen);"
        "json.dump([told, handed.take(), shown, sys.stdin.read()], open('told', 'w'))"
    )
    command = [sys.executable, "-c", f"import os; os.chdir({str(tmp_path)!r}); {script}"]
    logs, secret = LogPump(), str(uuid.uuid4())
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await child.spawn("part", command, env, logs, secrets={"AGENTMESH_X": secret})
    await asyncio.wait_for(process.wait(), 60)
    logs.close()

    assert [{"AGENTMESH_X": secret}, {}, False, ""] == json.loads((tmp_path / "told").read_text())


def test_an_open_door_is_refused_by_the_password_that_was_handed_over(tmp_path: pathlib.Path) -> None:
    """As when it was in the environment."""
    options = {"host": "0.0.0.0", "port": 0, "data_dir": str(tmp_path / "data")}
    command = [sys.executable, "-P", "-m", "agentmesh.supervisor", json.dumps(options)]
    env = {**os.environ, "AGENTMESH_ADMIN_PASSWORD": "admin"}
    refused = subprocess.run(command, env=env, capture_output=True, text=True, timeout=90, check=False)

    assert 2 == refused.returncode
    assert "set AGENTMESH_ADMIN_PASSWORD" in refused.stderr
