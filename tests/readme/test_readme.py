"""What the README shows runs as it stands there."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agentmesh.testing import Mesh, running_mesh

ROOT = pathlib.Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:3370"
_FENCE = re.compile(r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.M | re.S)

pytestmark = pytest.mark.xdist_group("readme")


@dataclasses.dataclass(frozen=True)
class Snippet:
    """A fenced block."""

    language: str
    title: str
    text: str


SNIPPETS = [
    Snippet(match["language"], match["title"] or "", match["text"])
    for match in _FENCE.finditer((ROOT / "README.md").read_text(encoding="utf-8"))
]
FILES = [snippet for snippet in SNIPPETS if snippet.title]
MAKE = [snippet for snippet in SNIPPETS if snippet.language == "sh" and snippet.text.startswith("make ")]
UP = Snippet("sh", "", "agentmesh up\n")
SHELL = [snippet for snippet in SNIPPETS if snippet.language == "sh" and snippet not in (*MAKE, UP)]
PYTHON = [snippet for snippet in SNIPPETS if snippet.language == "python" and not snippet.title]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with the files that the README shows."""
    path = tmp_path_factory.mktemp("readme")
    for snippet in FILES:
        (path / snippet.title).write_text(snippet.text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def mesh(folder: pathlib.Path) -> Iterator[Mesh]:
    """Return a mesh, started in that folder."""
    with running_mesh(cwd=folder) as mesh:
        yield mesh


def _run(command: list[str], cwd: pathlib.Path, mesh: Mesh | None = None) -> str:
    bin_dir = pathlib.Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}", "XDG_CONFIG_HOME": str(cwd / "config")}
    if mesh is not None:
        env["AGENTMESH_URL"] = mesh.url
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_no_snippet_is_left_out() -> None:
    """Each fenced block is a file, a command or a program that a test here runs; the drawing aside."""
    assert UP in SNIPPETS
    assert len(SNIPPETS) == len([*FILES, *MAKE, UP, *SHELL, *PYTHON]) + 1
    assert all([FILES, MAKE, SHELL, PYTHON])


def test_the_commands_run_in_the_order_they_are_shown(mesh: Mesh, folder: pathlib.Path) -> None:
    """Deploying and running the flow, REST and gRPC: one shell, as one person would type it; then the Python client."""
    script = "\n".join(["set -euo pipefail", *(snippet.text for snippet in SHELL)])

    shown = _run(["bash", "-c", script.replace(ADDRESS, mesh.url)], folder, mesh)

    assert "Hello, **Ada**!" in shown
    assert "event: final" in shown
    assert '"name": "jobs/' in shown
    for snippet in PYTHON:
        program = snippet.text.replace(ADDRESS, mesh.url)
        assert _run([sys.executable, "-c", program], folder, mesh).endswith("Hello, **Ada**!\n")


def test_the_test_of_the_flow_passes(folder: pathlib.Path) -> None:
    """The test that the README shows is a test."""
    assert "1 passed" in _run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_greeter.py"], folder
    )


def test_make_up_starts_the_mesh_with_its_examples() -> None:
    """`make up` is `agentmesh up --examples`, after a setup that is done once."""
    assert "agentmesh up --examples" in _run(["make", "-n", "up"], ROOT)


def test_make_demo_streams_a_job_to_its_end() -> None:
    """`make demo` runs the program below, which ends with 0."""
    assert "python -m examples.demo" in _run(["make", "-n", "demo"], ROOT)

    shown = _run([sys.executable, "-m", "examples.demo"], ROOT)

    assert "status succeeded" in shown
    assert "ended, nothing left behind" in shown
