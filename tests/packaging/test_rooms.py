"""Whose module a process finds, where there are two of one name."""

import os
import pathlib
import subprocess
import sys

import pytest

OWN = 'WHOSE = "theirs"\n'


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where apps are imported from: modules that are called as ours, and one example of their own."""
    for path in ("services.py", "gateway.py", "examples/__init__.py", "examples/mine.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(OWN, encoding="utf-8")
    return tmp_path


def found(folder: pathlib.Path, before: str, module: str) -> str:
    """Return whose module is imported behind what was said of `_rooms` before."""
    shown = f"import sys, {module}\nprint(getattr(sys.modules[{module!r}], 'WHOSE', 'ours'))\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"from agentmesh import _rooms\n{before}\n{shown}"],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def test_a_program_of_the_mesh_finds_ours(folder: pathlib.Path) -> None:
    """Whatever stands first on its import path."""
    assert "ours" == found(folder, "_rooms.enter()", "services")


def test_a_process_that_loads_apps_finds_theirs(folder: pathlib.Path) -> None:
    """An app's modules are its author's."""
    assert "theirs" == found(folder, "_rooms.find_example('app')", "services")


@pytest.mark.parametrize(("module", "whose"), [("examples.mine", "theirs"), ("examples.noop", "ours")])
def test_an_example_is_ours_unless_they_have_one_of_that_name(folder: pathlib.Path, module: str, whose: str) -> None:
    """The whole name counts: to have some `examples` hides none of ours."""
    assert whose == found(folder, f"_rooms.find_example({module!r})", module)
