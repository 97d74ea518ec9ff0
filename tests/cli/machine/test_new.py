"""`agentmesh new`: what it makes runs, and its tests pass."""

import ast
import pathlib
import subprocess
import sys

import pytest

from agentmesh.cli import app
from agentmesh.cli.machine.starters import STARTERS


@pytest.mark.parametrize("template", [name for name, starter in STARTERS.items() if not starter.packages])
def test_the_test_of_a_new_folder_passes(
    template: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As its page says; what is printed is what to type next."""
    monkeypatch.chdir(tmp_path)
    assert 0 == app.run(["new", "hello", "--template", template])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "hello"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert 0 == done.returncode, done.stdout
    assert "agentmesh dev hello/app.py" in capsys.readouterr().out
    assert {"app.py", "test_app.py", "README.md", ".gitignore"} <= {
        path.name for path in (tmp_path / "hello").iterdir()
    }


@pytest.mark.parametrize("template", [name for name, starter in STARTERS.items() if starter.packages])
def test_a_template_that_needs_more_says_so(
    template: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What to install, on the terminal and in a file; it is Python all the same."""
    monkeypatch.chdir(tmp_path)
    assert 0 == app.run(["new", "hello", "-t", template])
    for file in ("app.py", "test_app.py"):
        ast.parse((tmp_path / "hello" / file).read_text())

    assert ["agentmesh", *STARTERS[template].packages] == (tmp_path / "hello/requirements.txt").read_text().split()
    assert f"pip install {STARTERS[template].packages[0]}" in capsys.readouterr().out
