"""The fenced blocks of a document, and what runs them."""

import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterable

from agentmesh.testing import Mesh, running_mesh

ROOT = pathlib.Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:3370"
_FENCE = re.compile(r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.M | re.S)


@dataclasses.dataclass(frozen=True)
class Snippet:
    """A fenced block."""

    language: str
    title: str
    text: str


def snippets(document: str) -> list[Snippet]:
    """Return the fenced blocks of a document of the repository."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [Snippet(match["language"], match["title"] or "", match["text"]) for match in _FENCE.finditer(text)]


def of(page: str, language: str) -> list[Snippet]:
    """Return the snippets of a page of `docs/` in one language that are no files."""
    return [part for part in snippets(f"docs/{page}") if part.language == language and not part.title]


def lay_out(found: Iterable[Snippet], folder: pathlib.Path) -> pathlib.Path:
    """Write the files that documents show; return the folder."""
    for part in found:
        if part.title:
            (folder / part.title).write_text(part.text, encoding="utf-8")
    return folder


def quick_mesh(folder: pathlib.Path) -> contextlib.AbstractContextManager[Mesh]:
    """Run a mesh, started in that folder, whose ledger is quick, for the length of the block."""
    env = {"AGENTMESH_LEDGER_WORKER_DELAY_S": "0.05", "AGENTMESH_LEDGER_CONFIRM_DELAY_S": "0.1"}
    return running_mesh(cwd=folder, env=env)


def run(command: list[str], cwd: pathlib.Path, mesh: Mesh | None = None) -> str:
    """Run a command as a person would in that folder; return what it printed.  Raises `AssertionError` if it fails."""
    bin_dir = pathlib.Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}", "XDG_CONFIG_HOME": str(cwd / "config")}
    if mesh is not None:
        env["AGENTMESH_URL"] = mesh.url
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_shell(parts: list[Snippet], cwd: pathlib.Path, mesh: Mesh) -> str:
    """Run the shell snippets in one shell, as one person would type them; return what they printed."""
    script = "\n".join(["set -euo pipefail", *(snippet.text for snippet in parts)])
    return run(["bash", "-c", script.replace(ADDRESS, mesh.url)], cwd, mesh)


def run_python(part: Snippet, cwd: pathlib.Path, mesh: Mesh) -> str:
    """Run a program; return what it printed."""
    return run([sys.executable, "-c", part.text.replace(ADDRESS, mesh.url)], cwd, mesh)
