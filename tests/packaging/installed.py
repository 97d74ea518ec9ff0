"""The wheel of this tree, in an environment that knows nothing of the tree."""

import os
import pathlib
import subprocess
import sys
import sysconfig
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
_WITHIN_S = 240.0


class Installed:
    """An environment with the wheel in it; what that depends on comes from the one that runs the tests."""

    def __init__(self, folder: pathlib.Path) -> None:
        _run([sys.executable, "-m", "pip", "wheel", *_PLAIN, "--no-build-isolation", "-w", str(folder), str(ROOT)])
        (self.wheel,) = folder.glob("*.whl")
        self._bin = folder / "venv" / "bin"
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])
        _run([sys.executable, "-m", "pip", "--python", str(self.python), "install", *_PLAIN, str(self.wheel)])
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        # The folder, and not what .pth files in it name: with those our own tree would be importable.
        (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
        self._env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AGENTMESH"))}
        self._env |= {"XDG_CONFIG_HOME": str(folder), "PYTHONUNBUFFERED": "1"}

    @property
    def python(self) -> pathlib.Path:
        """Its interpreter."""
        return self._bin / "python"

    def names(self) -> set[str]:
        """Return the path of each file in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `agentmesh`."""
        return [str(self._bin / "agentmesh"), *arguments]

    def env(self, **more: str) -> dict[str, str]:
        """Return what a person has in their environment."""
        return {**self._env, **more}

    def agentmesh(self, *arguments: str, cwd: pathlib.Path, **env: str) -> str:
        """Run the command in a folder; return what it prints.  Raises `AssertionError` if it fails."""
        return _run(self.command(*arguments), cwd=cwd, env=self.env(**env))


_PLAIN = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")


def _run(command: list[str], cwd: pathlib.Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout
