"""Twenty-five ways to use it wrongly: each message names the thing and the remedy.  None of them needs a mesh."""

import asyncio
import importlib
import json
import os
import pathlib
import socket
from collections.abc import Callable
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import host_pb2

from agentmesh import Tracer
from agentmesh._app.loading import load
from agentmesh._job.execution import execute
from agentmesh.cli import app
from agentmesh.client import Client
from agentmesh.errors import describe
from agentmesh.host.app import answers
from agentmesh.supervisor import plan

HEAD = "import threading\nfrom agentmesh import InputsError, Launch, ServeAPI, Tracer, forms\napp = ServeAPI()\n"
FORM = "form = forms.Model(forms.InputText(name='topic'))\n"
ENTERED = "@app.enter(path='/', model=form)\nasync def enter(request, inputs): ...\n"
ENTER = f"{FORM}{ENTERED.replace(' ...', '')}"


class Bench:
    """Where something is used wrongly; each method returns the message that a person gets."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def write(self, text: str) -> str:
        """Write a module; return its name, which no other has."""
        name = f"wrong_{abs(hash((text, str(self.folder))))}"
        (self.folder / f"{name}.py").write_text(HEAD + text)
        importlib.invalidate_caches()
        return name

    def loaded(self, text: str, path: str = "{}:app") -> str:
        """What a boot says of an app."""
        return _said(lambda: load(path.format(self.write(text))))

    def asked(self, text: str) -> str:
        """What who sends a form is told."""
        served = answers.Served(app=load(f"{self.write(text)}:app"), expose="wrong")
        return asyncio.run(answers.ask(served, host_pb2.Ask(path="/", inputs_json='{"topic": "x"}'))).detail

    def run(self, text: str) -> str:
        """What a job fails with whose function is called `run`."""
        name = self.write(text)
        return _said(lambda: asyncio.run(execute(f"{name}:run", {}, Tracer("f1", lambda kind, payload: None))))

    def typed(self, *arguments: str) -> str:
        """What a command says, which ends with 2."""
        self._capsys.readouterr()
        assert 2 == app.run(list(arguments))
        return " ".join(self._capsys.readouterr().err.replace("│", " ").split())

    def called(self, call: Callable[[Any], Any]) -> str:
        """What a client raises before it asks a mesh."""
        with Client("http://127.0.0.1:1") as client:
            return _said(lambda: call(client))

    def settled(self, **options: Any) -> str:
        """What `agentmesh up` says before anything starts."""
        with pytest.raises(plan.UsageError) as caught, plan.settled(plan.Options(**options)):
            pass
        return str(caught.value)

    def port_in_use(self) -> str:
        """Another program listens there."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            return self.settled(port=other.getsockname()[1], data_dir=self.folder / "data")

    def folder_in_use(self) -> str:
        """Another mesh keeps its things there."""
        with plan.settled(plan.Options(port=0, data_dir=self.folder / "data")):
            return self.settled(port=0, data_dir=self.folder / "data")

    def file(self, text: str) -> str:
        """What `agentmesh dev` says of a file."""
        (self.folder / "app.py").write_text(text)
        return self.typed("dev", "app.py")

    def full_folder(self) -> str:
        """There is something where a new app would be."""
        (self.folder / "hello").mkdir()
        (self.folder / "hello" / "mine.txt").write_text("")
        return self.typed("new", "hello")


def _said(work: Callable[[], Any]) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever an author gets
        work()
    return describe(caught.value)


WRONG: dict[str, tuple[Callable[[Bench], str], str, str]] = {
    # what: (how, the thing, the remedy)
    "a module that is not there": (
        lambda b: b.loaded("", "no_such_module:app"),
        "'no_such_module'",
        "imported from the directory that the mesh",
    ),
    "a file for a module": (
        lambda b: b.loaded("", "flows/{}.py:app"),
        "flows/wrong_",
        "it names a file, write flows.wrong_",
    ),
    "a name that the module has not": (lambda b: b.loaded("", "{}:ap"), "has no 'ap'", "perhaps wrong_"),
    "something that is no app": (lambda b: b.loaded("x = 3", "{}:x"), "is a int, not an app", "name a ServeAPI"),
    "a package that is not installed": (
        lambda b: b.loaded("import no_such_package"),
        "'no_such_package'",
        "install what it belongs to",
    ),
    "two elements of a name": (
        lambda b: b.loaded(f"twins = forms.InputText('a'), forms.InputUrl('a')\nform = forms.Model(*twins)\n{ENTERED}"),
        "two elements are called 'a'",
        "names are unique within a form",
    ),
    "a list of elements": (
        lambda b: b.loaded("forms.Model([forms.InputText(name='a')])"),
        "got list",
        "without the brackets",
    ),
    "texts for options": (
        lambda b: b.loaded("forms.Select('size', ['S', 'M'])"),
        "Select 'size'",
        "an option is InputOption(name, label)",
    ),
    "a decorator without parentheses": (
        lambda b: b.loaded("@app.flow\nasync def hello(): ...\n"),
        "flow hello",
        "write @app.flow(), with the parentheses",
    ),
    "two flows at a path": (
        lambda b: b.loaded("@app.flow()\nasync def one(): ...\n@app.flow()\nasync def two(): ...\n"),
        "flow two: its path '/' is that of one",
        "give it another",
    ),
    "inputs without a type": (
        lambda b: b.loaded("@app.flow()\nasync def hello(inputs): ...\n"),
        "flow hello",
        "annotate `inputs` with a pydantic",
    ),
    "a parameter that nobody passes": (
        lambda b: b.loaded("@app.flow()\nasync def hello(topic: str): ...\n"),
        "hello needs `topic`",
        "rename the parameter",
    ),
    "a handler without a Launch": (
        lambda b: b.asked(f"{ENTER}    return inputs\n"),
        "endpoint",
        "must return a Launch object or raise an InputsError",
    ),
    "a lambda to launch": (
        lambda b: b.asked(f"{ENTER}    return Launch(request, lambda: 1, inputs=inputs)\n"),
        "entry point",
        "use a function that is defined with `def` at the top of a module, not a lambda",
    ),
    "inputs that cannot be sent": (
        lambda b: b.asked(f"{ENTER}    return Launch(request, print, inputs={{'lock': threading.Lock()}})\n"),
        "inputs['lock'] cannot be sent",
        "to the job's process",
    ),
    "a forgotten await": (
        lambda b: b.run("async def work(): ...\nasync def run(inputs, tracer):\n    return work()\n"),
        "run returned a coroutine",
        "an `await` is missing before it",
    ),
    "a result that nobody can look at": (
        lambda b: b.run("def run(inputs, tracer):\n    return print\n"),
        "run returned a builtin_function_or_method",
        "return text, a number, a list",
    ),
    "a port in use": (lambda b: b.port_in_use(), "port ", "choose another with --port, or --port 0 for a free one"),
    "a folder in use": (lambda b: b.folder_in_use(), "another mesh (process ", "choose another with --data-dir"),
    "a door that is open to all": (
        lambda b: b.settled(host="0.0.0.0", port=0, data_dir=b.folder / "data"),
        "--host 0.0.0.0 can be reached from other machines",
        "set AGENTMESH_ADMIN_PASSWORD",
    ),
    "no mesh at that address": (
        lambda b: b.typed("flows", "--url", "http://127.0.0.1:1"),
        "no mesh answers at http://127.0.0.1:1",
        "is `agentmesh up` running there?",
    ),
    "nobody signed in": (
        lambda b: b.typed("flows", "--url", "http://192.0.2.1:3370"),
        "log in first",
        "agentmesh login --url http://192.0.2.1:3370",
    ),
    "a file without an app": (lambda b: b.file("x = 1\n"), "app.py makes no app", "write app = ServeAPI() in it"),
    "a template that is not there": (
        lambda b: b.typed("new", "hello", "-t", "langraph"),
        "there is no 'langraph'",
        "did you mean langgraph?",
    ),
    "a folder that is not empty": (lambda b: b.full_folder(), "hello is there already", "take another name"),
    "a state that jobs do not have": (
        lambda b: b.typed("jobs", "--state", "done"),
        "there is no state 'done'",
        "it is one of pending, queued",
    ),
    "a time that is none": (
        lambda b: b.typed("jobs", "--since", "yesterday"),
        "--since 'yesterday'",
        "such as 2h or 7d, or 2026-01-31",
    ),
    "inputs that are no object": (
        lambda b: b.typed("run", "--inputs", "[1]", "hello"),
        "--inputs",
        "is no JSON object: write one, such as",
    ),
    "inputs in a file that is not there": (
        lambda b: b.typed("run", "--inputs", "@missing.json", "hello"),
        "there is no file missing.json (in ",
        "name one that is there",
    ),
    "inputs in a folder": (
        lambda b: b.typed("schedules", "create", "hello", "--cron", "@daily", "--inputs", "@."),
        "cannot read .: Is a directory",
        "name a file that you can read",
    ),
    "inputs that are no JSON": (
        lambda b: b.typed("run", "--inputs", "{a", "hello"),
        "--inputs is not JSON: Expecting property name",
        "write an object, such as",
    ),
    "a crew in a file that is not there": (
        lambda b: b.typed("crews", "apply", "missing.yaml"),
        "there is no file missing.yaml",
        "name one that is there",
    ),
    "certificates that are none": (
        lambda b: _said(lambda: Client("https://127.0.0.1:1", ca=pathlib.Path(b.write("x") + ".py"))),
        "which says whose certificates to trust, has none",
        "name a PEM file of a CA",
    ),
    "a number for an address": (
        lambda b: _said(lambda: Client(3370)),  # type: ignore[arg-type]
        "3370 is not the address of a mesh",
        "write http://HOST:PORT",
    ),
    "a number for a name": (lambda b: b.called(lambda c: c.job(5)), "not int: 5", "a name is text, such as jobs/…"),
    "text for inputs": (
        lambda b: b.called(lambda c: c.create_job("hello", "Ann")),
        "not str",
        'inputs are a dict, such as {"name": "Ann"}',
    ),
    "text for retries": (
        lambda b: b.called(lambda c: c.create_job("hello", retries="3")),
        "not '3'",
        "write a number of attempts or Retries(…)",
    ),
    "a client that is closed": (
        lambda b: b.called(lambda c: (c.close(), c.job("x"))),
        "this client is closed",
        "make another",
    ),
    "a command that is not there": (lambda b: b.typed("job"), "No such command 'job'", "Did you mean 'jobs'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_message_names_the_thing_and_the_remedy(
    what: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one message without a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("AGENTMESH_TOKEN", "AGENTMESH_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    how, thing, remedy = WRONG[what]

    message = how(Bench(tmp_path, capsys))

    assert thing in message
    assert remedy in message
    assert "Traceback" not in message
    if path := os.environ.get("WRONG_USAGES"):  # for who writes the table of the documentation
        with open(path, "a", encoding="utf-8") as table:
            table.write(json.dumps([what, message]) + "\n")
