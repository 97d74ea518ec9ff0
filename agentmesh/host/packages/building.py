"""Makes what an app asks for beside its code: an environment with its packages, and folders from addresses.

The installer is uv if it is on PATH, or else pip: a program that runs code of the packages.  It gets what an app gets
(`helpers`): the same confinement, and no secret of the mesh.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import site
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator

from agentmesh.host.own import folders
from agentmesh.host.packages import keeping
from agentmesh.host.packages.asked import Asked, hidden
from agentmesh.host.packages.helpers import WORK, Confined, Helper, NotProvided, run

CONTENT = "content"
"""In what was fetched: the folder that was packed."""
_LINK = "zz_agentmesh.pth"
_FETCHER = "agentmesh.host.packages.fetching"


class Builder:
    """Makes them, each once, and says what it does."""

    def __init__(self, confined: Confined, say: Callable[[str], None]) -> None:
        """`say` is told what is being done, for people to read."""
        self._confined = confined
        self._say = say
        self._until = time.monotonic() + confined.install_timeout_s

    def install(self, asked: Asked, found: pathlib.Path) -> None:
        """Have the environment `found`, with what is asked for.  Raises `NotProvided`, and `OSError`."""

        def make() -> None:
            self._say(f"installing {asked.count} package{'s' if asked.count > 1 else ''}")
            _make_environment(found)
            work = found / WORK
            folders.make(work)
            _write(work / "requirements.txt", asked.listed)
            _write(work / "constraints.txt", asked.constraints)
            run(_installer(asked, found), found, self._confined, self._until)

        self._provide(found, make)

    def fetch(self, url: str, found: pathlib.Path) -> pathlib.Path:
        """Return the folder in `found` that was packed at an address.  Raises `NotProvided`, and `OSError`."""

        def make() -> None:
            self._say(f"fetching {hidden(url)}")
            work = found / WORK
            folders.make(work)
            request = {"url": url, "into": str(found / CONTENT), "private": self._confined.private_addresses}
            (work / "request.json").write_text(json.dumps(request), encoding="utf-8")
            command = [sys.executable, "-P", "-m", _FETCHER, str(work / "request.json")]
            path = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}  # it is code of ours
            helper = Helper(name="the host", task=f"fetch {hidden(url)}", command=command, variables=path)
            run(helper, found, self._confined, self._until)

        self._provide(found, make)
        return found / CONTENT

    def _provide(self, found: pathlib.Path, make: Callable[[], None]) -> None:
        try:
            keeping.provide(found, self._until, make)
        except keeping.Busy:
            raise NotProvided("another host has been busy with the same for too long: try again") from None


def _make_environment(found: pathlib.Path) -> None:
    """Make a virtual environment that has what the mesh has, behind what will be installed in it."""
    with_pip = not (shutil.which("uv") or importlib.util.find_spec("pip"))
    try:
        venv.EnvBuilder(with_pip=with_pip, symlinks=True).create(found)
    except subprocess.CalledProcessError:
        raise NotProvided("neither uv nor pip is where the mesh runs: install one of them") from None
    (inside,) = found.glob("lib/python*/site-packages")
    # As such folders: what is installed there may need its own .pth files.
    paths = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    adding = "".join(f"; site.addsitedir({path!r})" for path in dict.fromkeys([*paths, *_user_site()]))
    (inside / _LINK).write_text(f"import site{adding}\n", encoding="utf-8")


def _user_site() -> Iterator[str]:
    if site.ENABLE_USER_SITE and os.path.isdir(folder := site.getusersitepackages()):
        yield folder


def _installer(asked: Asked, found: pathlib.Path) -> Helper:
    python, work = str(found / "bin" / "python"), found / WORK
    files = [*asked.flags, "-r", str(work / "requirements.txt"), "-c", str(work / "constraints.txt")]
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--python", python, "--no-cache", "--no-progress", *files]
        return Helper(name="uv", task="install its packages", command=command)
    flags = ["install", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", *files]
    ours = [sys.executable, "-P", "-m", "pip", "--python", python]
    pip = ours if importlib.util.find_spec("pip") else [python, "-P", "-m", "pip"]
    return Helper(name="pip", task="install its packages", command=[*pip, *flags])


def _write(path: pathlib.Path, lines: tuple[str, ...]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
