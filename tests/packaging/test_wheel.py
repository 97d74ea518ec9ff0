"""The wheel, as somebody has it who never saw this tree: what is in it, and that names clash in neither direction."""

import pathlib
import signal
import subprocess
import sys

import pytest

from tests.packaging.installed import Installed
from tests.terminal import DEADLINE_S, Terminal

pytestmark = pytest.mark.xdist_group("wheel")  # one worker builds it once
THEIRS = ("mesh", "services", "gateway", "examples", "tests")
"""Modules that people have, and that this tree has, too."""
MINE = f"""

import {", ".join(THEIRS)}


@app.flow("/mine", summary="Mine")
async def mine(tracer: Tracer) -> str:
    return " ".join(each.WHOSE for each in ({", ".join(THEIRS)}))
"""
IMPORTABLE = f"""\
import importlib.util
print(*(name for name in {THEIRS} if importlib.util.find_spec(name)))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed."""
    return Installed(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def folder(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where a person works: an app as `agentmesh new` makes it, beside modules of theirs."""
    folder = tmp_path_factory.mktemp("work")
    installed.agentmesh("new", "hello", "--template", "declared", cwd=folder)
    for place in (folder, folder / "hello"):
        for name in THEIRS:
            (place / f"{name}.py").write_text(f'WHOSE = "my-{name}"\n', encoding="utf-8")
    with (folder / "hello" / "app.py").open("a", encoding="utf-8") as app:
        app.write(MINE)
    return folder


def test_no_general_name_stands_in_site_packages(installed: Installed, tmp_path: pathlib.Path) -> None:
    """The wheel has three names at its top, and all that belongs to them."""
    names = installed.names()
    found = subprocess.run(
        [installed.python, "-P", "-c", IMPORTABLE], cwd=tmp_path, env=installed.env(), capture_output=True, text=True
    )

    tops = {name.partition("/")[0] for name in names}
    assert {"agentmesh", "agentmesh_protos", "meshkit"} == {top for top in tops if not top.endswith(".dist-info")}
    assert "\n" == found.stdout, found.stderr
    (information,) = (top for top in tops if top.endswith(".dist-info"))
    assert {
        "agentmesh/py.typed",
        "agentmesh/_examples/examples/agents/atlas.yaml",
        "agentmesh/_mesh/gateway/edge/edge.lua",
        "agentmesh_protos/descriptors.binpb",
        f"{information}/licenses/LICENSE",
    } <= names


def test_the_quickstart_runs_beside_modules_of_the_same_names(installed: Installed, folder: pathlib.Path) -> None:
    """The mesh runs on its own, a flow finds its author's, and an example is ours though there is another module."""
    with subprocess.Popen(
        installed.command("dev", "hello/app.py", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=installed.env(),
    ) as process:
        try:
            url = Terminal(process).until("the panel: ").split()[2].removesuffix("/panel/flows")

            told = installed.agentmesh("run", "hello", "--text", "to be or not to be", cwd=folder, AGENTMESH_URL=url)
            mine = installed.agentmesh("run", "hello/mine", cwd=folder, AGENTMESH_URL=url)
            installed.agentmesh("expose", "add", "noop", "examples.noop.app:fast_app", cwd=folder, AGENTMESH_URL=url)
            installed.agentmesh("boot", cwd=folder, AGENTMESH_URL=url)
            flows = installed.agentmesh("flows", "--json", cwd=folder, AGENTMESH_URL=url)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)

    assert "word\tcount\nto\t2\nbe\t2\nor\t1" in told
    assert "my-mesh my-services my-gateway my-examples my-tests" in mine
    assert "flows/noop" in flows


def test_a_flow_passes_mypy_against_what_is_installed(installed: Installed, folder: pathlib.Path) -> None:
    """`mypy --strict` finds the types of the SDK: nothing to say of an app as it is begun, but of what is wrong."""
    (folder / "hello" / "wrong.py").write_text("from agentmesh.client import Client\n\nClient(5)\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed.python)]
    command += ["--cache-dir", str(folder / "cache"), "app.py", "wrong.py"]

    done = subprocess.run(command, cwd=folder / "hello", env=installed.env(), capture_output=True, text=True)

    assert done.stdout.startswith('wrong.py:3: error: Argument 1 to "Client" has incompatible type "int"'), done.stderr
    assert "Found 1 error in 1 file (checked 2 source files)" in done.stdout
