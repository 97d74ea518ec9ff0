"""The peers' virtual environments: `.peers/{name}`, made from `pins/{name}.txt` and kept until the pins change."""

import pathlib
import platform
import shutil
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).parents[2] / ".peers"
PINS = pathlib.Path(__file__).with_name("pins")


def ensure(name: str, root: pathlib.Path = ROOT, pins: pathlib.Path = PINS) -> pathlib.Path:
    """Return the folder of a peer's programs, installing it when it is not there as pinned.

    Raises `subprocess.CalledProcessError`, which holds what pip said, if it cannot be installed.
    """
    home = root / name
    stamp = home / "installed.txt"
    wanted = f"# Python {platform.python_version()}\n{(pins / f'{name}.txt').read_text(encoding='utf-8')}"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"installing: {name}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home)
        pip = [sys.executable, "-m", "pip", "--python", str(home), "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "-r", str(pins / f"{name}.txt")], check=True, stderr=subprocess.PIPE)
        stamp.write_text(wanted, encoding="utf-8")
    return home / "bin"
