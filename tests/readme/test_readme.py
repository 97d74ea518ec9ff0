"""What the README shows runs as it stands there."""

import pathlib
import sys
from collections.abc import Iterator

import pytest

from agentmesh.testing import Mesh, running_mesh
from tests.readme.snippets import ROOT, Snippet, lay_out, run, run_python, run_shell, snippets

pytestmark = pytest.mark.xdist_group("readme")

SNIPPETS = snippets("README.md")
FILES = [snippet for snippet in SNIPPETS if snippet.title]
MAKE = [snippet for snippet in SNIPPETS if snippet.language == "sh" and snippet.text.startswith("make ")]
UP = Snippet("sh", "", "agentmesh up\n")
SHELL = [snippet for snippet in SNIPPETS if snippet.language == "sh" and snippet not in (*MAKE, UP)]
PYTHON = [snippet for snippet in SNIPPETS if snippet.language == "python" and not snippet.title]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with the files that the README shows."""
    return lay_out(FILES, tmp_path_factory.mktemp("readme"))


@pytest.fixture(scope="module")
def mesh(folder: pathlib.Path) -> Iterator[Mesh]:
    """Return a mesh, started in that folder."""
    with running_mesh(cwd=folder) as mesh:
        yield mesh


def test_no_snippet_is_left_out() -> None:
    """Each fenced block is a file, a command or a program that a test here runs; the drawing aside."""
    assert UP in SNIPPETS
    assert len(SNIPPETS) == len([*FILES, *MAKE, UP, *SHELL, *PYTHON]) + 1
    assert all([FILES, MAKE, SHELL, PYTHON])


def test_the_commands_run_in_the_order_they_are_shown(mesh: Mesh, folder: pathlib.Path) -> None:
    """Deploying and running the flow, REST and gRPC: one shell, as one person would type it; then the Python client."""
    shown = run_shell(SHELL, folder, mesh)

    assert "Hello, **Ada**!" in shown
    assert "event: final" in shown
    assert '"name": "jobs/' in shown
    for snippet in PYTHON:
        assert run_python(snippet, folder, mesh).endswith("Hello, **Ada**!\n")


def test_the_test_of_the_flow_passes(folder: pathlib.Path) -> None:
    """The test that the README shows is a test."""
    assert "1 passed" in run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_greeter.py"], folder
    )


def test_make_up_starts_the_mesh_with_its_examples() -> None:
    """`make up` is `agentmesh up --examples`, after a setup that is done once."""
    assert "agentmesh up --examples" in run(["make", "-n", "up"], ROOT)


def test_make_demo_streams_a_job_to_its_end() -> None:
    """`make demo` runs the program below, which ends with 0."""
    assert "python -m examples.demo" in run(["make", "-n", "demo"], ROOT)

    shown = run([sys.executable, "-m", "examples.demo"], ROOT)

    assert "status succeeded" in shown
    assert "ended, nothing left behind" in shown
