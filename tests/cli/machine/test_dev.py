"""`agentmesh dev`: one mesh, one app, saved again and again."""

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agentmesh.client import Client
from tests.terminal import DEADLINE_S, Terminal

APP = """\
import asyncio

from agentmesh import ServeAPI, Tracer

app = ServeAPI()


@app.flow("/", summary="Hello")
async def hello(tracer: Tracer) -> str:
    print("printed by version 1")
    return "version 1"


@app.flow("/waiting", summary="Waiting")
async def waiting(tracer: Tracer) -> str:
    await tracer.debug("it waits")
    while not (await tracer.lock("go")).get("go"):
        pass
    return "version 1"


@app.lock("go")
async def go(data):
    from agentmesh import forms

    return forms.Model(forms.InputText(name="go"), forms.Submit("Go"))


@app.flow("/broken", summary="Broken")
async def broken(tracer: Tracer) -> str:
    raise ValueError("it broke")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the app is."""
    folder = tmp_path_factory.mktemp("dev") / "hello"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    return folder


@pytest.fixture(scope="module")
def terminal(folder: pathlib.Path) -> Iterator[Terminal]:
    """The command, typed beside the folder."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "agentmesh.cli", "dev", "hello/app.py", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder.parent,
        env={**os.environ, "XDG_CONFIG_HOME": str(folder.parent), "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            yield Terminal(process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)


def test_an_app_is_served_loaded_anew_and_told(terminal: Terminal, folder: pathlib.Path) -> None:
    """Its author sees what it prints and where it fails; what does not load replaces nothing; Ctrl-C ends all."""
    terminal.until(r"^✓ hello  3 flows  ")
    page = terminal.until("the panel: ")
    url = page.split()[2].removesuffix("/panel/flows")
    with Client(url) as mesh:
        mesh.login("admin", "admin")
        assert "version 1" == mesh.run("hello").text
        terminal.until(" printed by version 1$")
        terminal.until(r" succeeded after \d+\.\d s$")
        mesh.run("hello/broken")
        assert "app.py" in terminal.until(' File "')
        terminal.until('    raise ValueError."it broke".$')

        waiting = mesh.create_job("hello/waiting")
        terminal.until("agentmesh answer [0-9a-f-]+ --go …$")
        (folder / "app.py").write_text(APP.replace("app = ServeAPI()", "app = ServeAPI(]"))
        terminal.until("^app.py changed: loading hello anew$")
        terminal.until("^! hello  the new version did not load: SyntaxError")
        assert "app.py" in terminal.until(' File "')
        terminal.until(r"^    +app = ServeAPI\(\]$")
        assert "version 1" == mesh.run("hello").text

        (folder / "app.py").write_text(APP.replace("version 1", "version 2"))
        terminal.until(r"^✓ hello  3 flows  ")
        assert not [line for line in terminal.seen if "refresh failed" in line]
        assert "version 2" == mesh.run("hello").text
        mesh.answer(next(iter(mesh.locks(waiting.name))).name, {"go": "yes"})
        assert "version 1" == mesh.wait(waiting.name, timeout_s=DEADLINE_S).text

    assert "*\n" == (folder / ".agentmesh" / ".gitignore").read_text()
    terminal.process.send_signal(signal.SIGINT)
    assert 0 == terminal.process.wait(60)
