"""What a `runtime_env` does to a process; tried in a process of its own."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

_SCRIPT = """
import json, os, sys
from agentmesh.host.forking.environment import apply
apply(json.loads(sys.argv[1]))
print(json.dumps({"path": sys.path[:2], "cwd": os.getcwd(), "x": os.environ.get("X")}))
"""


def run(runtime_env: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    """Apply a runtime environment in a fresh interpreter."""
    command = [sys.executable, "-c", _SCRIPT, json.dumps(runtime_env)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_variables_folder_and_modules_are_set(tmp_path: pathlib.Path) -> None:
    """A package's folder puts the folder around it on the path, as Ray does."""
    package = tmp_path / "lib" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()

    found = json.loads(run({"env_vars": {"X": 1}, "working_dir": str(tmp_path), "py_modules": [str(package)]}).stdout)

    assert {"path": [str(tmp_path / "lib"), str(tmp_path)], "cwd": str(tmp_path), "x": "1"} == found


@pytest.mark.parametrize(
    ("runtime_env", "field"),
    [
        ({"env_vars": ["X"]}, "env_vars"),
        ({"working_dir": "/no/such/folder"}, "working_dir"),
        ({"py_modules": "x"}, "py_modules"),
        ({"py_modules": ["/no/such/folder"]}, "py_modules"),
    ],
)
def test_what_is_wrong_is_named(runtime_env: dict[str, Any], field: str) -> None:
    """The error names the field."""
    result = run(runtime_env)

    assert 0 != result.returncode
    assert f"ValueError: runtime_env.{field}" in result.stderr


def test_a_url_is_left_to_the_import_path() -> None:
    """It is said, and nothing is fetched."""
    result = run({"py_modules": ["https://example.com/x.zip"]})

    assert 0 == result.returncode
    assert "is not fetched" in result.stderr
