"""One real mesh with a small app for the tests of this folder, and the command line to talk with it."""

import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from agentmesh.cli import app
from agentmesh.testing import Mesh, running_mesh

AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "67" * 16
_HERE = pathlib.Path(__file__).parent
APP = """
import asyncio

from agentmesh import InputsError, Launch, ServeAPI, forms
from agentmesh.response import Markdown

app = ServeAPI()
form = forms.Model(
    forms.InputText(label="Name", name="name", required=True),
    forms.InputText(label="Greeting", name="greeting", value="Hello"),
    forms.Submit("Greet"),
)


@app.enter(path="/", model=form, summary="Greeter", description="Says hello.", tags=["Demo"])
async def enter(request, inputs):
    if not inputs.get("name"):
        raise InputsError(name="Please say who you are.")
    return Launch(request, greet, inputs=inputs)


@app.enter(path="/broken", model=form, summary="Broken", description="Fails.", tags=["Demo"])
async def enter_broken(request, inputs):
    return Launch(request, fail, inputs=inputs)


@app.enter(path="/slow", model=form, summary="Slow", description="Takes its time.", tags=["Demo"])
async def enter_slow(request, inputs):
    return Launch(request, wait, inputs=inputs)


@app.enter(path="/asking", model=form, summary="Asking", description="Asks a human.", tags=["Demo"])
async def enter_asking(request, inputs):
    return Launch(request, ask, inputs=inputs)


@app.lock("approval")
async def approval(data):
    return forms.Model(
        forms.Markdown(f"May **{data['name']}** pass?"),
        forms.InputText(label="Reason", name="reason", required=True),
        forms.Checkbox("sure", label="Sure", option="yes, I am"),
        forms.Select("verdict", [forms.InputOption("yes", "Yes"), forms.InputOption("no", "No", True)], "Verdict"),
        forms.Submit("Send"),
    )


@app.lease("approval")
async def approved(inputs):
    if inputs["reason"] == "none":
        raise InputsError(reason="Give a better reason.")
    return inputs


async def ask(inputs, tracer):
    for _ in range(2 if inputs["greeting"] == "twice" else 1):
        answer = await tracer.lock("approval", {"name": inputs["name"]})
    return Markdown(f"{answer['reason']}, {answer['sure']}, {answer['verdict']}")


async def greet(inputs, tracer):
    await tracer.debug("about to greet", "\\x1b]0;renamed\\x07")
    return Markdown(f"{inputs['greeting'] or 'Hello'}, **{inputs['name']}**!")


async def fail(inputs, tracer):
    raise ValueError("it broke")


async def wait(inputs, tracer):
    await tracer.debug("waiting")
    await asyncio.sleep(600)
"""


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups, though pytest be given this folder
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder to one worker (xdist, `--dist loadgroup`), so that they share the mesh."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("cli"))


@pytest.fixture(scope="session")
def cli_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Return a mesh that serves the app as `greeter`, and as `sold` for money; its ledger is quick."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "greeter_app.py").write_text(APP)
    env = {"AGENTMESH_LEDGER_WORKER_DELAY_S": "0.05", "AGENTMESH_LEDGER_CONFIRM_DELAY_S": "0.1"}
    with running_mesh(cwd=folder, env=env) as mesh:
        meta = {"/": f"agentIdentifier: {AGENT}\n"}
        mesh.client.save_expose("sold", "import_path: greeter_app:app\n", network="Preprod", meta=meta)
        mesh.deploy("greeter", "greeter_app:app")
        yield mesh


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def typed(
    cli_mesh: Mesh, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Return a function that runs `agentmesh ARGUMENTS` in this process, which is faster, and no terminal either."""
    monkeypatch.setenv("AGENTMESH_URL", cli_mesh.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = app.run(list(arguments))
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def cli(cli_mesh: Mesh, tmp_path: pathlib.Path) -> Cli:
    """Return a function that runs `agentmesh ARGUMENTS` with a config folder of its own."""

    def run(*arguments: str, stdin: str = "", **env: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "agentmesh.cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "AGENTMESH_URL": cli_mesh.url, "XDG_CONFIG_HOME": str(tmp_path), **env},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run
