"""Tiny wheels, and an app that says which version of one it has."""

import pathlib
import zipfile
from collections.abc import Mapping

NAME = "agentmesh-demo-package"
_APP = """
import contextlib
import os
import stat
import sys
import agentmesh_demo_package
import pydantic
from agentmesh import Launch, ServeAPI, Tracer
from agentmesh import forms as F

app = ServeAPI()
VERSION = agentmesh_demo_package.VERSION


def locks() -> int:
    found = []
    for fd in range(3, 1024):
        with contextlib.suppress(OSError):
            found.append(os.fstat(fd))
    return sum(stat.S_ISREG(each.st_mode) and (each.st_mode & 0o777, each.st_size) == (0o600, 0) for each in found)


AT_IMPORT = locks()


@app.enter("/", model=F.Model(F.Submit("Go")), summary=f"Demo {VERSION}")
async def demo(inputs: dict, request: object) -> Launch:
    return Launch(request, versions, inputs=inputs)


async def versions(inputs: dict, tracer: Tracer) -> dict:
    import agentmesh_fetched_module

    seen = {"fetched": agentmesh_fetched_module.VALUE, "in": sys.prefix, "locks": [AT_IMPORT, locks()]}
    return {**seen, "demo": VERSION, "pydantic": pydantic.VERSION}
"""


def wheel(folder: pathlib.Path, version: str, more: Mapping[str, str] | None = None) -> pathlib.Path:
    """Write a wheel of `NAME` in `folder`, with `more` files in it; return where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    module = NAME.replace("-", "_")
    facts = f"{module}-{version}.dist-info"
    path = folder / f"{module}-{version}-py3-none-any.whl"
    files = {
        f"{module}.py": f"VERSION = {version!r}\n",
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n",
        f"{facts}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(more or {}),
    }
    files[f"{facts}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{facts}/RECORD"))
    packed(path, files)
    return path


def packed(path: pathlib.Path, files: dict[str, str]) -> None:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def app(folder: pathlib.Path) -> pathlib.Path:
    """Write the app `demo_app:app` in `folder`; return that, a `working_dir`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo_app.py").write_text(_APP, encoding="utf-8")
    return folder


def limited(folder: pathlib.Path) -> pathlib.Path:
    """Write a package that is never built: its builder says how long a file of its may be, and a core."""
    _builder(folder, "import resource")
    with (folder / "backend.py").open("a", encoding="utf-8") as file:
        file.write("""\
    limits = [resource.getrlimit(each)[1] for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)]
    raise SystemExit(f"limits={limits}")
""")
    return folder


def hanging(folder: pathlib.Path) -> pathlib.Path:
    """Write a package that is never built: its builder starts a process in a session of its own, and waits for it.

    `folder` is in that process's command.
    """
    _builder(folder, "import subprocess, sys")
    with (folder / "backend.py").open("a", encoding="utf-8") as file:
        file.write(f"""\
    command = [sys.executable, "-c", "import time; time.sleep(3600)", {str(folder)!r}]
    print("I wait", flush=True)
    subprocess.run(command, start_new_session=True)
""")
    return folder


def _builder(folder: pathlib.Path, imports: str) -> None:
    """Write a package with the beginning of what builds it."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n', encoding="utf-8"
    )
    begin = f"{imports}\n\ndef prepare_metadata_for_build_wheel(*args, **options):\n"
    (folder / "backend.py").write_text(begin, encoding="utf-8")
