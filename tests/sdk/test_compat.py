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
found = []
for name in ("kodosumi.service.admin", "ray.serve.schema"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        found.append([str(error), error.name])
try:
    from kodosumi.core import Panel
except ImportError as error:
    found.append([str(error), error.name])
print(json.dumps(found))
"""
    ours, rays, part = run(code, folder=tmp_path)

    offered = "it is not part of what agentmesh offers in the place of"
    assert [f"No module named 'kodosumi.service.admin': {offered} 'kodosumi'", "kodosumi.service.admin"] == ours
    told = f"No module named 'ray.serve.schema': {offered} 'ray'; install that package to use it"
    assert [told, "ray.serve.schema"] == rays
    assert "kodosumi.core" == part[1]
    assert "'Panel'" in part[0]


REAL_KODOSUMI = {
    "site/kodosumi/__init__.py": "real = True",
    "site/kodosumi/core.py": "raise RuntimeError('looks for Ray')",
    "site/kodosumi/service/admin.py": "real = True",
    "site/kodosumi-1.1.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: kodosumi\nVersion: 1.1.1\n",
}


def test_ours_stands_before_a_real_kodosumi(tmp_path: pathlib.Path) -> None:
    """A job that its Launch started would be none of the mesh's; it is said once, and nothing is mixed."""
    write(tmp_path, REAL_KODOSUMI)
    code = """
import logging
said = []
logging.getLogger("agentmesh.compat").addHandler(logging.Handler())
logging.getLogger("agentmesh.compat").handlers[0].emit = lambda record: said.append(record.getMessage())
sys.path.insert(0, "site")
import kodosumi, kodosumi.core
from kodosumi.core import Launch, ServeAPI
from kodosumi import response
import agentmesh
try:
    import kodosumi.service.admin
    mixed = True
except ModuleNotFoundError:
    mixed = False
print(json.dumps([hasattr(kodosumi, "real"), Launch is agentmesh.Launch, ServeAPI is agentmesh.ServeAPI, mixed, said]))
"""
    *ours, said = run(code, folder=tmp_path)

    assert [False, True, True, False] == ours
    assert ["kodosumi is installed here too: apps get what agentmesh offers in its place"] == said


def test_a_folder_of_that_name_is_not_kodosumi(tmp_path: pathlib.Path) -> None:
    """Such as the checkout beside an app: nothing is said of it."""
    write(tmp_path, {"kodosumi/notes.txt": ""})
    code = """
import logging
said = []
logging.getLogger("agentmesh.compat").addHandler(logging.Handler())
logging.getLogger("agentmesh.compat").handlers[0].emit = lambda record: said.append(record.getMessage())
import kodosumi.core
print(json.dumps(said))
"""
    assert [] == run(code, folder=tmp_path)


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


PARTS = """
from kodosumi.const import EVENT_STATUS, STATUS_FINAL, NAMESPACE, KODOSUMI_LAUNCH, DB_FILE
from kodosumi.runner.const import EVENT_FINAL
from kodosumi.spooler import DB_FILE as again, Spooler, main, run
from kodosumi.runner.files import AsyncFileSystem, SyncFileSystem, AsyncFileStream, SyncFileStream
from kodosumi.runner.main import Launch
from kodosumi.dtypes import RegisterFlow, DynamicModel, Markdown, Text, format_map
from kodosumi.helper import now
import ray.serve.context
from ray.serve.context import _get_serve_request_context, _get_internal_replica_context, ReplicaContext
from kodosumi.error import KodosumiError
import agentmesh

refused = []
for call in (Spooler, main, run, lambda: AsyncFileSystem("f", "u", "j"), SyncFileSystem):
    try:
        call()
    except KodosumiError as error:
        refused.append(str(error))
print(json.dumps([
    [EVENT_STATUS, EVENT_FINAL, STATUS_FINAL, NAMESPACE, KODOSUMI_LAUNCH, DB_FILE == again],
    [RegisterFlow(url="a").url, RegisterFlow(url=["a", "b"]).url, DynamicModel({"a": 1}).root],
    [format_map["text"] is Text, Launch is agentmesh.Launch, _get_internal_replica_context() is None],
    [_get_serve_request_context().request_id, now() > 1_700_000_000, len(refused)],
    refused[0],
]))
"""


def test_parts_of_the_machinery_are_there_to_be_named(tmp_path: pathlib.Path) -> None:
    """Constants and types as they are; what the mesh does itself says so when it is used."""
    names, types, same, rest, refusal = run(PARTS, folder=tmp_path)

    assert ["status", "final", ["finished", "error"], "kodosumi", "kodosumi_launch", True] == names
    assert [["a"], ["a", "b"], {"a": 1}] == types
    assert [True, True, True] == same
    assert ["", True, 5] == rest
    assert "the mesh keeps the events of jobs itself" in refusal


METHODS = """
import asyncio, httpx, pydantic
from fastapi import FastAPI, Request
from ray import serve
from kodosumi.core import Launch, ServeAPI, forms as F, InputsError
from agentmesh import locks
from agentmesh.launch import launches
from agentmesh.loading import flows_of, load

class Values(pydantic.BaseModel):
    n: int

plain, app = FastAPI(), ServeAPI()

class Base:
    def __init__(self, who):
        self.who = who

    @plain.get("/inherited", openapi_extra={"x-kodosumi": True}, summary="Inherited", tags=["t"])
    async def inherited(self, request: Request, n: int = 1):
        return [self.who, n, request.method]

@serve.deployment
@serve.ingress(plain)
class Plain(Base):
    @plain.post("/own", status_code=202)
    def own(self, values: Values):
        return [self.who, values.n]

    @plain.get("/static")
    @staticmethod
    def static():
        return "static"

@serve.deployment
@serve.ingress(app)
class Deployed(Base):
    @app.enter("/", model=F.Model(F.InputNumber(name="n")), summary="Entered")
    async def enter(self, inputs, request):
        if inputs["n"] == 13:
            raise InputsError(n=f"{self.who} dislikes it")
        return Launch(request, "json:dumps", inputs=inputs)

    @app.lock("ask")
    def ask(self, data):
        return F.Model(F.InputText(name="a", label=self.who))

    @app.lease("ask")
    async def lease(self, inputs, data):
        return [self.who, inputs]

    @app.get("/more")
    async def more(self, request):
        return [self.who, request.method]

bound_plain, bound = Plain.bind("ada"), Deployed.bind("bob")

async def main():
    launches.set([])
    answers = []
    for import_path in ("methods:bound_plain", "methods:bound"):
        loaded = load(import_path)
        transport = httpx.ASGITransport(loaded.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            if "plain" in import_path:
                answers += [(await client.get("/inherited?n=2")).json()]
                owned = await client.post("/own", json={"n": 3})
                answers += [owned.status_code, owned.json(), (await client.post("/own", json={})).status_code]
                answers += [(await client.get("/static")).json()]
            else:
                answers += [(await client.post("/", json={"n": 13})).json()["errors"]]
                answers += [len((await client.post("/", json={"n": 1})).json()["result"])]
                answers += [(await client.get("/more")).json()]
        answers.append([(flow.path, flow.summary) for flow in loaded.flows])
    answers.append((await locks.check(app, "ask", {"a": "x", "extra": 5}, {}, None)).result)
    print(json.dumps(answers))
"""


def test_methods_of_a_deployment_are_called_on_its_object(tmp_path: pathlib.Path) -> None:
    """Routes of plain FastAPI, inherited ones too, and the handlers of a ServeAPI; a lease gets what else was sent."""
    write(tmp_path, {"methods.py": METHODS.replace("json.dumps(answers)", "__import__('json').dumps(answers)")})

    found = run("import methods, asyncio; asyncio.run(methods.main())", folder=tmp_path)

    assert found == [
        *(["ada", 2, "GET"], 202, ["ada", 3], 422, "static", [["/inherited", "Inherited"]]),
        *({"n": ["bob dislikes it"], "_global_": []}, 24, ["bob", "GET"], [["/", "Entered"]]),
        ["bob", {"a": "x", "extra": 5}],
    ]


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
from agentmesh.loading import load
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


def test_what_is_here_by_another_name_is_known(tmp_path: pathlib.Path) -> None:
    """So that nobody fetches it: the module itself, and what is in it."""
    code = "print(json.dumps([compat.is_aliased(name) for name in ('x', 'x.y', 'x.y.z', 'x.yz', 'y')]))"
    assert [False, True, True, False, False] == run(code, folder=tmp_path, aliases="x.y=real_app")


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
