"""The quickstart as a stranger types it: `python -m tools.quickstart [--all] [--within SECONDS]`.

It builds the wheel, and for this Python (`--all`: for each of 3.11, 3.12 and 3.13 that is found) makes an empty
environment and an empty folder, installs the wheel with what it depends on, and types the commands of docs/index.md
until a job has its result.  It prints how long each step took; `--within` fails if that is longer all together.  Pip
asks whatever index it is set up for, and what it has downloaded before it keeps.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

_ROOT = pathlib.Path(__file__).parents[1]
_PAGE = _ROOT / "docs" / "index.md"
_VERSIONS = ("3.11", "3.12", "3.13")
_STEP_S = 600.0
_READY = "the panel: "
_WHICH = "import sys; print(sys.executable)"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What was typed, and how long it took."""

    typed: str
    took_s: float


class Failed(Exception):
    """A step did not do what it should; the message has what it printed."""


def commands() -> tuple[str, str, str]:
    """Return the quickstart's commands: make an app, serve it, run it."""
    page = _PAGE.read_text(encoding="utf-8")
    new, dev, run = re.findall(r"^```sh\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL)
    return new, dev, run


def pythons() -> Iterator[str]:
    """Yield an interpreter of each version, as far as they are found."""
    kept = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv", "versions")
    for version in _VERSIONS:
        found = [shutil.which(f"python{version}"), *map(str, sorted(kept.glob(f"{version}.*/bin/python{version}")))]
        for python in filter(None, found):
            if subprocess.run([python, "-c", _WHICH], capture_output=True, check=False).returncode == 0:
                yield python
                break
        else:
            print(f"python {version}: not found here")


def built(folder: pathlib.Path) -> pathlib.Path:
    """Build the wheel and return it."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(_ROOT)], check=True)
    (wheel,) = folder.glob("agentmesh-*.whl")
    return wheel


def typed(python: str, wheel: pathlib.Path, folder: pathlib.Path) -> Iterator[Step]:
    """Type the quickstart in an empty folder; yield each step when it is done.  Raises `Failed`."""
    environment = folder / "environment"
    subprocess.run([python, "-m", "venv", str(environment)], check=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AGENTMESH"))}
    env |= {"PATH": f"{environment / 'bin'}{os.pathsep}{env['PATH']}", "XDG_CONFIG_HOME": str(folder / "config")}
    env |= {"PYTHONUNBUFFERED": "1"}
    empty = folder / "empty"
    empty.mkdir()
    new, dev, run = commands()
    yield _done("pip install agentmesh", f"pip install --quiet {wheel}", empty, env)
    yield _done(new, new, empty, env)
    with _served(dev, empty, env) as took_s:
        yield Step(dev, took_s)
        yield _done(run, run, empty, env)


def _done(shown: str, command: str, cwd: pathlib.Path, env: dict[str, str]) -> Step:
    begun = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, timeout=_STEP_S, check=False
    )
    if done.returncode != 0:
        raise Failed(f"{shown} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return Step(shown, time.monotonic() - begun)


@contextlib.contextmanager
def _served(dev: str, cwd: pathlib.Path, env: dict[str, str]) -> Iterator[float]:
    """Serve the app for the length of the block; yield how long it took to be there."""
    begun = time.monotonic()
    with subprocess.Popen(
        ["bash", "-c", f"exec {dev}"], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said: list[str] = []
        try:
            for line in process.stdout:
                said.append(line)
                if _READY in line:
                    break
            else:
                raise Failed(f"{dev} ended:\n{''.join(said)}")
            yield time.monotonic() - begun
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=_STEP_S)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.quickstart", description=__doc__)
    parser.add_argument("--all", action="store_true", help="with each version of Python that is found")
    parser.add_argument("--within", type=float, default=0.0, metavar="SECONDS", help="fail if it takes longer")
    arguments = parser.parse_args()
    code = 0
    with tempfile.TemporaryDirectory(prefix="agentmesh-quickstart-") as temporary:
        wheel = built(pathlib.Path(temporary))
        for python in pythons() if arguments.all else [sys.executable]:
            print(f"{wheel.name} with {python}")
            took_s = 0.0
            try:
                for step in typed(python, wheel, pathlib.Path(tempfile.mkdtemp(dir=temporary))):
                    print(f"  {step.took_s:6.1f} s  {step.typed}", flush=True)
                    took_s += step.took_s
            except Failed as failure:
                print(f"  failed: {failure}")
                code = 1
                continue
            print(f"  {took_s:6.1f} s  from pip install to the first result")
            if arguments.within and took_s > arguments.within:
                print(f"  that is more than {arguments.within:g} s")
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
