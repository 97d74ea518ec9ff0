"""Boots of apps that ask for packages, over the real runner, real hosts and a real installer."""

import pathlib

import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb

from services.runner import app as runner
from services.runner.config import Config
from tests.host.packages import wheels
from tests.registry.conftest import Mesh, Peers, said

_BOOT_S = 240


async def boot(mesh: Mesh) -> list[str]:
    """Boot, and return what it said, in short."""
    call = mesh.boots.StartBoot(pb.StartBootRequest(), metadata=mesh.operator, timeout=_BOOT_S)
    return [said(event) async for event in call]


async def test_apps_have_packages_of_their_own(
    peers: Peers, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions at once; what cannot be installed fails one app, in its words; a second boot installs nothing."""
    monkeypatch.setenv("AGENTMESH_DATA_DIR", str(tmp_path / "data"))  # of the nursery, which the runner starts here
    folder, one = wheels.app(tmp_path / "app"), wheels.wheel(tmp_path / "one", "1.0")
    index = wheels.wheel(tmp_path / "index", "2.0").parent
    (folder / "requirements.txt").write_text(
        f"--no-index\n--find-links {index}\n{wheels.NAME}>1  # the newest\n", encoding="utf-8"
    )
    needs = {
        "one": f"pip: [{one}]",
        "two": "requirements: requirements.txt",
        "none": f"pip: {{packages: ['{wheels.NAME}==9'], pip_install_options: [--no-index, --find-links, {index}]}}",
    }
    settings = {**peers.config.model_dump(), "runner_address": "127.0.0.1:0"}
    async with runner.running(Config(**settings)) as port:
        peers.config = peers.config.model_copy(update={"runner_address": f"127.0.0.1:{port}"})
        async with peers.registry() as mesh:
            for name, line in needs.items():
                runtime_env = f"runtime_env:\n  working_dir: {folder}\n  {line}\n"
                await mesh.save(name, f"import_path: demo_app:app\n{runtime_env}")
            first = await boot(mesh)
            flows = {flow.name: flow.summary for flow in (await mesh.list_flows()).flows if flow.alive}
            failed = await mesh.get("none")
            second = await boot(mesh)

    assert {"flows/one": "Demo 1.0", "flows/two": "Demo 2.0"} == flows
    assert pb.EXPOSE_STATE_DEPLOY_FAILED == failed.state
    assert "could not install its packages: " in failed.message
    assert f"{wheels.NAME}==9" in failed.message
    steps = [f"app_preparing expose={name} message=installing 1 package" for name in needs]
    assert {*steps} == {line for line in first if line.startswith("app_preparing")}
    assert {steps[-1]} == {line for line in second if line.startswith("app_preparing")}
    assert "boot_completed app_count=3 running_count=2 failed_count=1" == second[-1]
