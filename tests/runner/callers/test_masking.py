"""What is secret in a job reaches the job, and nobody else: no answer, no log, no file."""

import json
import pathlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2, lock_pb2

from services.runner.stores.sqlite.schema import MIGRATIONS
from tests.runner.samples.secretive import digest
from tests.runner.stack import DEADLINE_S, Stack, stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
CANARY = 'canary"of the inputs é'
KEY = "canary-of-a-lock"
ENV = "canary-of-the-environment"
FORMS = [text for value in (CANARY, KEY, ENV) for text in (value, json.dumps(value)[1:-1])]
RUNTIME_ENV = json.dumps({"env_vars": {"API_TOKEN": ENV, "PORT": "8080808080"}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Where the mesh keeps what it has."""
    return tmp_path_factory.mktemp("secretive")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(folder: pathlib.Path) -> AsyncIterator[Stack]:
    """Run the stack with the secretive app deployed."""
    async with stack(folder) as running:
        await running.deploy(import_path="tests.runner.samples.secretive:app", runtime_env_json=RUNTIME_ENV)
        yield running


def check_absent(*texts: object) -> None:
    """Fail if a secret is to be read somewhere."""
    for text in map(str, texts):
        for form in FORMS:
            assert form not in text


def check_files(folder: pathlib.Path) -> None:
    """Fail if a secret is to be read in a file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "runner.db" for path in files)
    for path in files:
        content = path.read_bytes()
        for form in FORMS:
            assert form.encode() not in content, path


async def refusal(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """Return the error that a call fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def read_all(mesh: Stack, job: job_pb2.Job) -> list[Any]:
    """Return all that there is to be read about a job that has ended."""
    events = await mesh.events(job)
    request = job_pb2.ListEventsRequest(name=job.name, page_size=1000)
    page = await mesh.jobs.ListEvents(request, metadata=mesh.operator, timeout=DEADLINE_S)
    listed = await mesh.jobs.ListJobs(job_pb2.ListJobsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)
    return [await mesh.get(job), *events, *page.events, *listed.jobs, *[event.detail for event in page.events]]


@pytest.mark.parametrize("how", ["tell", "fail", "objects"])
@pytest.mark.parametrize("flow", ["flows/demo", "flows/demo/declared"])
async def test_a_secret_reaches_its_job_only(mesh: Stack, folder: pathlib.Path, flow: str, how: str) -> None:
    """Whatever its flow's own code calls it, prints, returns or raises."""
    job = await mesh.create(flow, user="ada", password=CANARY, how=how)
    said = await read_all(mesh, job)
    done = await mesh.get(job)

    check_absent(job, *said)
    assert "••••" == json.loads(done.inputs_json)["password"]
    if how == "fail":
        assert "could not sign in with [REDACTED] and [REDACTED]" in done.error
    else:
        found = json.loads(done.result_json)["dict"]
        assert (digest(CANARY), digest(ENV)) == (found["input"], found["env"])
        assert "[REDACTED]" == found["secret"]
    check_files(folder)


@pytest.mark.parametrize("how", ["refuse", "break"])
async def test_a_refusal_does_not_repeat_it(mesh: Stack, how: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the form's words nor those of a handler that breaks."""
    error = await refusal(mesh.create(user="ada", password=CANARY, how=how))

    check_absent(error, error.details(), error.trailing_metadata())
    assert "[REDACTED]" in f"{error.details()}{error.trailing_metadata()}"


async def test_a_short_one_is_masked_in_its_field_only(mesh: Stack) -> None:
    """Five characters would garble what has them by chance."""
    job = await mesh.create(user="ada", password="five5", how="tell")
    await mesh.events(job)
    done = await mesh.get(job)

    assert "••••" == json.loads(done.inputs_json)["password"]
    assert "five5" == json.loads(done.result_json)["dict"]["secret"]


async def test_an_answer_is_kept_from_others_and_outlives_a_restart(folder: pathlib.Path) -> None:
    """A job that waits for it starts again elsewhere, with the inputs and the answer as they were given."""
    folder = folder / "again"
    async with stack(folder) as mesh:
        await mesh.deploy(import_path="tests.runner.samples.secretive:app", runtime_env_json=RUNTIME_ENV)
        job = await mesh.create(user="ada", password=CANARY, how="ask")
        await mesh.open_locks(job)
    async with stack(folder) as mesh:
        [lock] = await mesh.open_locks(job)
        answered = await mesh.answer(lock.name, key=KEY)
        said = await read_all(mesh, job)
        done = await mesh.get(job)
        request = lock_pb2.ListLocksRequest(show_ended=True)
        locks = await mesh.locks.ListLocks(request, metadata=mesh.operator, timeout=DEADLINE_S)
        found = json.loads(done.result_json)["dict"]

        check_absent(answered, locks, *said)
        assert (digest(CANARY), digest(ENV), digest(KEY)) == (found["input"], found["env"], found["key"])
        assert 2 == done.attempt
        check_files(folder)


async def test_an_app_does_not_tell_its_environment(mesh: Stack, folder: pathlib.Path) -> None:
    """Nor the error of one that does not load."""
    listed = await mesh.apps.ListApps(app_pb2.ListAppsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)
    env = json.dumps({"env_vars": {"NAME_OF_WHAT_IS_MISSING": ENV}})
    broken = await mesh.deploy("broken", "tests.runner.samples.untold:app", runtime_env_json=env)

    assert "[REDACTED]" in broken.message
    check_absent(listed, broken)
    check_files(folder)


async def test_what_was_kept_before_is_sealed(tmp_path: pathlib.Path) -> None:
    """The file of an older version has nothing left of it, and its app still gets it."""
    number = next(n for n, script in enumerate(MIGRATIONS) if "sealed_env(" in script)
    old = sqlite3.connect(tmp_path / "runner.db", isolation_level=None)
    for script in MIGRATIONS[:number]:
        old.executescript(script)
    old.execute(f"PRAGMA user_version={number}")
    app = ("demo", "tests.runner.samples.secretive:app", RUNTIME_ENV, "", True, "demo-0-0")
    columns = "expose, import_path, runtime_env_json, deployments_json, fork, host_ids"
    old.execute(f"INSERT INTO apps ({columns}) VALUES (?, ?, ?, ?, ?, ?)", app)
    old.close()

    async with stack(tmp_path) as mesh:
        job = await mesh.create(user="ada", password=CANARY)
        await mesh.events(job)
        found = json.loads((await mesh.get(job)).result_json)["dict"]

        assert digest(ENV) == found["env"]
        check_files(tmp_path)
