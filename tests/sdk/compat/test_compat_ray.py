"""What apps import of Ray, and when it is executed; each case in a process of its own."""

import pathlib

import pytest

from tests.sdk.installed import run, write


def test_a_real_ray_is_not_hidden(tmp_path: pathlib.Path) -> None:
    """Where it is installed with Serve, it is what is imported."""
    write(tmp_path, {"ray/__init__.py": "real = True", "ray/serve/__init__.py": "real = True"})
    code = """
import ray.serve
print(json.dumps([ray.real, ray.serve.real]))
"""
    assert [True, True] == run(code, folder=tmp_path)


def test_a_ray_of_ones_own_is_refused_where_its_sockets_have_no_room(tmp_path: pathlib.Path) -> None:
    """Before Ray has tried, with what to do; who names a cluster, or a short folder, gets Ray."""
    code = """
import os, ray
init = ray.init.__wrapped__
deep = os.path.join(os.getcwd(), "d" * 60)
os.environ.pop("RAY_ADDRESS", None)
os.environ["RAY_TMPDIR"] = deep
@ray.remote
def f(): ...
said = []
for start in (f.remote, ray.init, lambda: ray.init("local"), lambda: ray.init(_temp_dir=deep)):
    try:
        start()
    except Exception as error:
        said.append([type(error).__name__, str(error).replace(deep, "DEEP")])
for options in ({"address": "no address"}, {"_temp_dir": "/tmp/r", "_system_config": 3}):
    try:  # what Ray itself refuses, before it starts anything
        ray.init(**options)
    except Exception as error:
        said.append([type(error).__name__, ""])
print(json.dumps([said, ray.init.__doc__ == init.__doc__]))
"""
    said, documented = run(code, folder=tmp_path)

    assert [*["KodosumiError"] * 4, "ValueError", "TypeError"] == [kind for kind, _ in said]
    assert all("Start the mesh with `agentmesh up --ray`" in text and "DEEP" in text for _, text in said[:4])
    assert documented


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


RAYS_OWN = {
    "ray/__init__.py": "import sys\nsys.ray_is_executed = True\nfrom ray import util\nreal = True",
    "ray/util.py": "import sys\nsys.times = getattr(sys, 'times', 0) + 1",
    "ray/serve/__init__.py": "import something_that_is_not_installed",
    "ray/serve/_private/__init__.py": "",
}
"""Ray's core without what Serve needs."""


@pytest.mark.parametrize(
    ("use", "executed"),
    [
        ("from ray import serve", False),
        ("import ray.serve", False),
        ("import ray", False),
        ("import ray\nassert ray.real", True),
        ("from ray import real", True),
        ("import ray.util", True),
        ("from ray import util", True),
        ("from ray import serve\nfrom ray import util", True),
    ],
)
def test_rays_core_is_executed_when_it_is_used(tmp_path: pathlib.Path, use: str, executed: bool) -> None:
    """It takes a second and 26 MB, and most apps only want `serve`, which is ours; no part of it is executed twice."""
    write(tmp_path, RAYS_OWN)
    code = f"""
{use}
found = hasattr(sys, "ray_is_executed")
import ray
from ray import serve
from agentmesh.compat import ray_shim
print(json.dumps([found, serve.deployment is ray_shim.deployment, ray.real, ray.serve is serve, sys.times]))
"""
    assert [executed, True, True, True, 1] == run(code, folder=tmp_path)


@pytest.mark.parametrize(("kept", "executed"), [("from ray import serve", False), ("import ray", True)])
def test_an_app_that_keeps_ray_has_it_when_it_is_loaded(tmp_path: pathlib.Path, kept: str, executed: bool) -> None:
    """Its jobs need not wait for it."""
    write(tmp_path, {**RAYS_OWN, "one.py": f"{kept}\nimport fastapi\napp = fastapi.FastAPI()"})
    code = """
from agentmesh._app.loading import load
load("one:app")
print(json.dumps(hasattr(sys, "ray_is_executed")))
"""
    assert executed is run(code, folder=tmp_path)


def test_a_ray_that_cannot_be_executed_says_why(tmp_path: pathlib.Path) -> None:
    """Each time, as any import that fails."""
    write(tmp_path, {**RAYS_OWN, "ray/__init__.py": "import missing_thing"})
    code = """
from ray import serve
found = []
for _ in range(2):
    try:
        from ray import util
    except ModuleNotFoundError as error:
        found.append(error.name)
print(json.dumps(found))
"""
    assert ["missing_thing", "missing_thing"] == run(code, folder=tmp_path)


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
from agentmesh._app.loading import load
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
