"""What installs ends with its host, in time, and with all that it has started."""

import os
import pathlib
import re
import subprocess
import sys

import psutil
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec, NurseryOrder

from agentmesh.host.confine import limits
from tests.host.packages import wheels
from tests.host.stage import DEADLINE_S, stage, until
from tests.host.test_nursery import talking


def started(folder: pathlib.Path) -> list[int]:
    """Return the processes that builders in a folder have started."""
    found = psutil.process_iter(["pid", "cmdline"])
    return [each.info["pid"] for each in found if str(folder) in (each.info["cmdline"] or ())]


async def test_an_installation_has_its_time(tmp_path: pathlib.Path) -> None:
    """Then its app is refused, and nothing of it is left."""
    kept, package = tmp_path / "environments", wheels.hanging(tmp_path / "hanging")
    async with stage(
        "tests.host.flows:app",
        runtime_env={"pip": [str(package)]},
        AGENTMESH_ENVIRONMENTS_DIR=str(kept),
        AGENTMESH_INSTALL_TIMEOUT_S="3",
    ) as host:
        assert host.loaded is not None
        error = host.loaded.error

    assert "took too long to install its packages" in error
    assert [] == started(package)
    assert [] == [path for path in kept.iterdir() if path.is_dir()]


async def test_an_installation_takes_no_more_than_a_job(tmp_path: pathlib.Path) -> None:
    """Of files, memory and processes."""
    package = wheels.limited(tmp_path / "limited")
    async with stage(
        "tests.host.flows:app",
        runtime_env={"pip": [str(package)]},
        AGENTMESH_ENVIRONMENTS_DIR=str(tmp_path / "environments"),
    ) as host:
        assert host.loaded is not None
        said = re.search(r"limits=\[(-?\d+), (-?\d+)\]", host.loaded.detail)

    assert said is not None, host.loaded.detail
    file_bytes, core_bytes = map(int, said.groups())
    assert 0 < file_bytes <= limits.FILE_BYTES
    assert 0 == core_bytes


def test_an_installation_ends_with_its_host(tmp_path: pathlib.Path) -> None:
    """Whoever stops it is told when nothing of it runs."""
    package = wheels.hanging(tmp_path / "hanging")
    environment = {
        **os.environ,
        "AGENTMESH_NURSERY": str(tmp_path / "n"),
        "AGENTMESH_ENVIRONMENTS_DIR": str(tmp_path / "environments"),
    }
    spec = HostSpec(
        host_id="demo-1",
        expose="demo",
        import_path="tests.runner.samples.flows:app",
        runner_address="127.0.0.1:1",
        runtime_env_json=f'{{"pip": ["{package}"]}}',
        fork=True,
    )
    with subprocess.Popen([sys.executable, "-m", "agentmesh.host"], env=environment) as process:
        try:
            with talking(tmp_path / "n") as talk:
                talk.hear()
                talk.say(NurseryOrder(start=spec))
                until(lambda: started(package))
                talk.say(NurseryOrder(stop="demo-1"))
                end = talk.hear().exited
            left = started(package)
        finally:
            process.terminate()
            process.wait(DEADLINE_S)

    assert "demo-1" == end.host_id
    assert [] == left
