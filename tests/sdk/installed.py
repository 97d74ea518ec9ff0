"""A fresh interpreter, with what is installed there."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any


def run(code: str, *, folder: pathlib.Path, aliases: str = "") -> Any:
    """Run code in a fresh interpreter after `install`; it prints JSON."""
    program = f"import json, sys\nfrom agentmesh import compat\ncompat.install()\n{code}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env={**os.environ, "AGENTMESH_IMPORT_ALIASES": aliases},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def write(folder: pathlib.Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
