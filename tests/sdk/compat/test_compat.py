"""What apps import that were written for others; each case in a process of its own, with what is installed there."""

import pathlib

from tests.sdk.installed import run, write

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
from agentmesh._app.loading import flows_of, load

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
