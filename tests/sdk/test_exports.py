"""What the SDK exports, and what importing it costs."""

import importlib.metadata
import importlib.resources
import json
import subprocess
import sys

import agentmesh
from agentmesh import forms

EXPORTS = [
    "HTML",
    "Budget",
    "Image",
    "InputsError",
    "KodosumiError",
    "Launch",
    "Link",
    "Markdown",
    "Retries",
    "ServeAPI",
    "StepsDiffer",
    "Table",
    "Templates",
    "Text",
    "Tracer",
    "TracerMock",
    "Video",
    "forms",
    "response",
]

ELEMENTS = [
    *[
        "Action",
        "Break",
        "Cancel",
        "Checkbox",
        "DisplayInfo",
        "Element",
        "Errors",
        "HR",
        "HTML",
        "InputArea",
        "InputColor",
    ],
    *[
        "InputDate",
        "InputDateTime",
        "InputEmail",
        "InputFiles",
        "InputHidden",
        "InputMonth",
        "InputNumber",
        "InputOption",
    ],
    *["InputPassword", "InputRadio", "InputRange", "InputSearch", "InputTel", "InputText", "InputTime", "InputUrl"],
    *["InputWeek", "Markdown", "Model", "Select", "Submit"],
]


def test_exported_members() -> None:
    """The surface is this list; a change of it is a decision, not an accident."""
    assert EXPORTS == agentmesh.__all__
    assert all(getattr(agentmesh, name) is not None for name in EXPORTS)
    assert set(EXPORTS) <= set(dir(agentmesh))
    assert sorted(ELEMENTS) == sorted(forms.__all__)


def test_it_says_which_version_it_is() -> None:
    """In the package, by the module that runs as a program, and to type checkers that it has types."""
    said = subprocess.run(
        [sys.executable, "-P", "-m", "agentmesh", "--version"], check=True, capture_output=True, text=True, timeout=120
    ).stdout

    assert importlib.metadata.version("agentmesh") == agentmesh.__version__ == said.strip()
    assert importlib.resources.files("agentmesh").joinpath("py.typed").is_file()


def test_importing_is_light() -> None:
    """Neither the web framework nor gRPC is loaded before it is used."""
    code = (
        "import json, sys, agentmesh, agentmesh.errors, agentmesh.ids, agentmesh._values.serialize\n"
        "print(json.dumps([m for m in ('fastapi', 'starlette', 'pydantic', 'grpc', 'ray') if m in sys.modules]))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60).stdout

    assert [] == json.loads(output)


def test_the_sdk_never_loads_grpc() -> None:
    """Jobs and handlers are forks of a process that has loaded the whole SDK: gRPC in it would break them."""
    code = (
        "import sys, agentmesh\n"
        "[getattr(agentmesh, name) for name in agentmesh.__all__]\n"
        "import agentmesh._app.loading, agentmesh._job.execution\n"
        "print('grpc' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout

    assert "False" == output.strip()
