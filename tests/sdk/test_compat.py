"""What apps import that were written for others; each case in a process of its own, with what is installed there."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest


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


IN_THE_WILD = """
import kodosumi
import kodosumi.core as core
from kodosumi import response
from kodosumi.core import ServeAPI, Launch, Tracer, TracerMock, InputsError, KodosumiError, Templates, forms as F
from kodosumi.core import response as again
from kodosumi.response import Markdown, HTML, Text
from kodosumi.dtypes import Markdown as Other
from kodosumi.error import KodosumiError as Error
from kodosumi.serve import ServeAPI as Serve
from kodosumi.runner.tracer import Tracer as Trace
import kodosumi.service.inputs.forms as forms
from kodosumi.service.inputs.forms import InputRadio
from kodosumi.service.inputs.errors import InputsError as Wrong
import ray.serve
from ray import serve
import agentmesh

same = [
    core.forms is F is forms is agentmesh.forms,
    core.response is response is again is agentmesh.response,
    Markdown is Other is agentmesh.Markdown is core.Markdown,
    Error is KodosumiError is agentmesh.KodosumiError,
    Wrong is InputsError is agentmesh.InputsError,
    Serve is ServeAPI is agentmesh.ServeAPI,
    Trace is Tracer is agentmesh.Tracer,
    Launch is agentmesh.Launch, TracerMock is agentmesh.TracerMock, Templates is agentmesh.Templates,
    ray.serve is serve, serve.deployment is not None, not ray.is_initialized(), InputRadio is forms.InputRadio,
]
print(json.dumps(same))
"""


def test_imports_in_the_wild_find_ours(tmp_path: pathlib.Path) -> None:
    """Every way apps import kodosumi and Ray Serve, one object behind each."""
    assert all(run(IN_THE_WILD, folder=tmp_path))


def test_what_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    """As an ImportError, so that `except ImportError` still works."""
    code = """
try:
    import kodosumi.spooler
except ModuleNotFoundError as error:
    print(json.dumps([str(error), error.name]))
"""
    message, name = run(code, folder=tmp_path)

    assert "kodosumi.spooler" == name
    assert "install that package" in message


def test_real_packages_are_not_hidden(tmp_path: pathlib.Path) -> None:
    """Where kodosumi and Ray are installed, they are what is imported; what they lack is not filled up."""
    write(
        tmp_path,
        {
            "kodosumi/__init__.py": "real = True",
            "kodosumi/core.py": "real = True",
            "ray/__init__.py": "real = True",
            "ray/serve/__init__.py": "real = True",
        },
    )
    code = """
import kodosumi.core, ray.serve
try:
    import kodosumi.error
    found = True
except ModuleNotFoundError:
    found = False
print(json.dumps([kodosumi.real, kodosumi.core.real, ray.real, ray.serve.real, found]))
"""
    assert [True, True, True, True, False] == run(code, folder=tmp_path)


def test_ray_without_serve_gets_serve(tmp_path: pathlib.Path) -> None:
    """Ray core ships `ray.serve` too; it just cannot be imported without its extras."""
    write(
        tmp_path,
        {
            "ray/__init__.py": "real = True",
            "ray/serve/__init__.py": "import ray.serve.api",
            "ray/serve/api.py": "import something_that_is_not_installed",
        },
    )
    code = """
import ray
from ray import serve
from agentmesh import ServeAPI
from agentmesh.compat import ray_shim
app = serve.deployment(serve.ingress(ServeAPI())(type("X", (), {}))).bind()
print(json.dumps([ray.real, serve is ray.serve, serve.deployment is ray_shim.deployment, type(app).__name__]))
"""
    assert [True, True, True, "Application"] == run(code, folder=tmp_path)


def test_an_app_behind_a_real_ray_serve_is_found(tmp_path: pathlib.Path) -> None:
    """Ray hides the app of an ingress; the module that bound it has it by name, if there is just one."""
    write(
        tmp_path,
        {
            "ray/__init__.py": "",
            "ray/serve/__init__.py": "class Application: ...",
            "one.py": "import fastapi\nfrom ray import serve\napp = fastapi.FastAPI()\nbound = serve.Application()",
            "two.py": "from one import *\nother = fastapi.FastAPI()",
        },
    )
    code = """
from agentmesh.loading import load
found = [type(load("one:bound").asgi).__name__]
try:
    load("two:bound")
except ValueError as error:
    found.append(str(error))
print(json.dumps(found))
"""
    kind, message = run(code, folder=tmp_path)

    assert "FastAPI" == kind
    assert "two has 2 apps: name the app itself; perhaps two:app" in message


def test_an_alias_wins_and_is_the_same_module(tmp_path: pathlib.Path) -> None:
    """Executed once, whatever it is called; the parent that is there for real stays."""
    write(
        tmp_path,
        {
            "tests/__init__.py": "real = True",
            "tests/other.py": "name = 'other'",
            "tests/taken.py": "name = 'hidden'",
            "real_app.py": "import os\nname = 'app'\nruns = globals().get('runs', 0) + 1",
        },
    )
    code = """
import tests.taken, tests.other, tests.virtual, real_app
print(json.dumps([tests.real, tests.taken is real_app, tests.virtual is real_app, tests.other.name, real_app.runs]))
"""
    aliases = "tests.taken=real_app, tests.virtual = real_app,"
    assert [True, True, True, "other", 1] == run(code, folder=tmp_path, aliases=aliases)


def test_parents_of_an_alias_are_made(tmp_path: pathlib.Path) -> None:
    """As far as needed and no further; modules below an aliased package are the package's own."""
    write(tmp_path, {"pkg/__init__.py": "", "pkg/calculator.py": "x = 1"})
    code = """
import kodosumi_examples.prime.calculator, pkg.calculator
from kodosumi_examples.prime import calculator
try:
    import kodosumi_examples.other
    other = True
except ModuleNotFoundError:
    other = False
print(json.dumps([calculator is pkg.calculator, other]))
"""
    assert [True, False] == run(code, folder=tmp_path, aliases="kodosumi_examples.prime=pkg")


def test_a_real_parent_without_the_child_stays_real(tmp_path: pathlib.Path) -> None:
    """Only what is missing is made."""
    write(tmp_path, {"examples_of/__init__.py": "real = True", "real_app.py": ""})
    code = """
import examples_of.deep.app, real_app
print(json.dumps([examples_of.real, examples_of.deep.app is real_app]))
"""
    assert [True, True] == run(code, folder=tmp_path, aliases="examples_of.deep.app=real_app")


def test_an_alias_to_nothing_says_so(tmp_path: pathlib.Path) -> None:
    """With both names; an import error within the target is its own."""
    write(tmp_path, {"broken.py": "import missing_thing"})
    code = """
found = []
for name in ("a.b", "a.c"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        found.append([str(error), error.name])
print(json.dumps(found))
"""
    first, second = run(code, folder=tmp_path, aliases="a.b=nowhere,a.c=broken")

    assert ["a.b is an alias of nowhere: there is none", "a.b"] == first
    assert ["No module named 'missing_thing'", "missing_thing"] == second


def test_install_again_takes_new_aliases(tmp_path: pathlib.Path) -> None:
    """The finders are there once."""
    write(tmp_path, {"real_app.py": ""})
    code = """
import os
os.environ["AGENTMESH_IMPORT_ALIASES"] = "x.y=real_app"
compat.install()
import x.y, real_app
finders = [type(finder).__name__ for finder in sys.meta_path]
print(json.dumps([x.y is real_app, finders.count("_First"), finders.count("_Last")]))
"""
    assert [True, 1, 1] == run(code, folder=tmp_path)


@pytest.mark.parametrize("aliases", ["x", "x=", "x=y z", "x=y;z=a"])
def test_malformed_aliases_are_refused(tmp_path: pathlib.Path, aliases: str) -> None:
    """The message names the variable and the part."""
    code = """
import os
os.environ["AGENTMESH_IMPORT_ALIASES"] = %r
try:
    compat.install()
except ValueError as error:
    print(json.dumps(str(error)))
"""
    assert "AGENTMESH_IMPORT_ALIASES" in run(code % aliases, folder=tmp_path)
