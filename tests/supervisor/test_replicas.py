"""What `agentmesh up --replicas N` starts, and what it refuses."""

import pathlib
import subprocess
import sys

import pytest

from agentmesh.supervisor import handing, plan
from agentmesh.supervisor.services import SERVICES
from gateway.config import Config as GatewayConfig
from services.runner.config import Config as RunnerConfig

REPLICATED = {"auth", "registry", "runner", "payments", "ledger", "gateway"}


def test_there_are_several_of_each_service_and_one_front_door(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each listens at an address of its own, where all of the others call it."""
    monkeypatch.setenv("AGENTMESH_AUTH_ADDRESS", "127.0.0.1:1")  # of a mesh on several machines
    secrets = {handing.DATABASE_URL: "postgresql://ada:word@db/mesh"}
    with plan.settled(plan.Options(port=0, data_dir=tmp_path, replicas=2), secrets) as settled:
        children = {spec.name: spec for spec in settled.children}
        envs = {name: plan.child_env(spec, settled.env) for name, spec in children.items()}

    assert {f"{name}-{number}" for name in REPLICATED for number in (1, 2)} | {"nursery", "edge"} == set(children)
    for number in (1, 2):
        gateway = GatewayConfig.model_validate(settings(envs[f"gateway-{number}"]))
        assert children[f"gateway-{number}"].address == gateway.at("gateway")
        assert gateway.at("web").endswith(f"/web-{number}.sock")
        assert {f"{name}-{which}" for name in REPLICATED for which in (1, 2)} == {
            pathlib.Path(peer.address).stem for name in REPLICATED for peer in gateway.peer(name).replicas
        }
        runner = RunnerConfig.model_validate(settings(envs[f"runner-{number}"]))
        assert children[f"runner-{number}"].address == runner.at("runner")
        assert 2 == runner.replicas
        assert runner.at("hosts").endswith(f"/runner-{number}.sock")
        assert runner.at("hosts") != runner.at("runner")
        assert "word" not in str(envs)


def test_hosts_of_a_cluster_have_a_door_to_each_runner(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same ports after each start; who names other doors names as many."""
    monkeypatch.setenv("AGENTMESH_RAY_ADDRESS", "127.0.0.1:6379")
    secrets = {handing.DATABASE_URL: "postgresql://db/mesh"}
    options = plan.Options(port=0, data_dir=tmp_path, replicas=2)
    found = []
    for _ in range(2):
        with plan.settled(options, secrets) as settled:
            found.append(settled.env["AGENTMESH_HOSTS_ADDRESS"])
    monkeypatch.setenv("AGENTMESH_HOSTS_ADDRESS", "127.0.0.1:3371")

    assert 2 == len(set(found[0].split(",")))
    assert found[0] == found[1]
    with pytest.raises(plan.UsageError, match="each of 2 runners"), plan.settled(options, secrets):
        pass


def settings(env: dict[str, str]) -> dict[str, str]:
    """Return the settings in an environment, by the names of fields."""
    found = {name.removeprefix("AGENTMESH_").lower(): value for name, value in env.items()}
    return {name: value for name, value in found.items() if name.endswith(("_address", "replica", "replicas"))}


def test_one_of_each_is_as_before(tmp_path: pathlib.Path) -> None:
    """No list, no number."""
    with plan.settled(plan.Options(port=0, data_dir=tmp_path)) as settled:
        assert list(SERVICES) == [spec.name for spec in settled.children]
        assert not {"AGENTMESH_AUTH_ADDRESS", "AGENTMESH_REPLICAS"} & set(settled.env)


@pytest.mark.parametrize("url", [None, "sqlite:////tmp/somewhere", "memory:"])
def test_one_writer_has_no_replicas(tmp_path: pathlib.Path, url: str | None) -> None:
    """One line says what to do; nothing is started."""
    env = {"AGENTMESH_REPLICAS": "2", "PATH": "/usr/bin"} | ({"AGENTMESH_DATABASE_URL": url} if url else {})
    command = [sys.executable, "-m", "agentmesh.cli", "up", "--port", "0", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert 2 == done.returncode
    assert done.stderr.startswith("agentmesh: --replicas 2: several processes of a service need a database")
    assert 1 == done.stderr.count("\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("count", [0, -1, 65])
def test_a_number_that_makes_no_sense_is_refused(tmp_path: pathlib.Path, count: int) -> None:
    """Before anything is made."""
    secrets = {handing.DATABASE_URL: "postgresql://db/mesh"}
    with (
        pytest.raises(plan.UsageError, match=f"--replicas {count}: must be from 1 to 64"),
        plan.settled(plan.Options(port=0, data_dir=tmp_path / "data", replicas=count), secrets),
    ):
        pass
