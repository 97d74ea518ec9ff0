"""Flows that declare their inputs: the runner checks, and no code of the author's runs before the job does."""

import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, conversation_pb2, job_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.runner.jobs.test_jobs import kinds
from tests.runner.stack import DEADLINE_S, Stack, stack


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[Stack]:
    """Run the stack with the declared app deployed."""
    async with stack(tmp_path) as running:
        await running.deploy(import_path="tests.runner.samples.declared:app")
        yield running


async def test_inputs_are_coerced_and_completed(mesh: Stack) -> None:
    """Texts of a form become what the schema says, and what is missing takes its default."""
    job = await mesh.create(name="Ada", times="2")

    events = await mesh.events(job)
    done = await mesh.get(job)

    assert {"name": "Ada", "times": 2} == json.loads(done.inputs_json)
    assert ["Hello, Ada!"] * 2 == json.loads(done.result_json)["dict"]["said"]
    assert ["status", "inputs", "meta", "status", "progress", "usage", "final", "status"] == kinds(events)
    assert "Greeter" == json.loads(events[2].payload)["dict"]["summary"]


async def test_a_job_shows_what_its_flow_said_of_itself(mesh: Stack) -> None:
    """Progress, usage, attempt, labels and target are fields of the job."""
    request = job_pb2.CreateJobRequest(
        target="flows/demo", inputs_json='{"name": "Ada"}', labels={"team": "blue"}, conversation="c-1"
    )
    job = await mesh.jobs.CreateJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
    await mesh.events(job)
    done = await mesh.get(job)

    assert ("flows/demo", "c-1", 1) == (done.target, done.conversation, done.attempt)
    assert {"team": "blue"} == dict(done.labels)
    assert (25.0, "clearing my throat") == (done.progress.percent, done.progress.text)
    assert (3, 5, 7) == (done.usage.input_tokens, done.usage.output_tokens, done.usage.cost_micros)


async def test_nobody_speaks_in_a_strangers_conversation(mesh: Stack) -> None:
    """Neither of a flow: a job that names it is not born, and its owner reads nothing of it."""
    asked = conversation_pb2.CreateConversationRequest(conversation=conversation_pb2.Conversation(title="Mine"))
    talk = await mesh.talk.CreateConversation(asked, metadata=mesh.operator, timeout=DEADLINE_S)
    request = job_pb2.CreateJobRequest(target="flows/demo", inputs_json='{"name": "Eve"}', conversation=talk.name)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await mesh.jobs.CreateJob(request, metadata=await mesh.user("eve"), timeout=DEADLINE_S)
    own = await mesh.jobs.CreateJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
    await mesh.events(own)

    assert grpc.StatusCode.NOT_FOUND == refused.value.code()
    listing = conversation_pb2.ListMessagesRequest(parent=talk.name)
    messages = (await mesh.talk.ListMessages(listing, metadata=mesh.operator, timeout=DEADLINE_S)).messages
    assert {own.name} == {message.job for message in messages}


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({}, "name"),
        ({"name": "A"}, "name"),
        ({"name": "Ada", "times": "many"}, "times"),
        ({"name": "Ada", "x": 1}, "x"),
    ],
)
async def test_what_the_schema_refuses_makes_no_job(mesh: Stack, inputs: dict[str, Any], field: str) -> None:
    """The error names the field."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.create(**inputs)
    listed = await mesh.jobs.ListJobs(job_pb2.ListJobsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)

    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
    status = rpc_status.from_call(caught.value)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details if detail.Is(bad.DESCRIPTOR))
    assert [field] == sorted({violation.field for violation in bad.field_violations})
    assert [] == list(listed.jobs)


@pytest.mark.parametrize("inputs_json", ["[]", "nope", '"text"', '{"name": "Ada"'])
async def test_inputs_that_are_no_object_are_refused(mesh: Stack, inputs_json: str) -> None:
    """With an error that says what they must be."""
    request = job_pb2.CreateJobRequest(target="flows/demo", inputs_json=inputs_json)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.jobs.CreateJob(request, metadata=mesh.operator, timeout=DEADLINE_S)

    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()


async def test_the_same_request_makes_one_job(mesh: Stack) -> None:
    """However often it is repeated; another body with its id is refused."""
    first = await mesh.create(request_id="r-1", name="Ada")
    again = await mesh.create(request_id="r-1", name="Ada")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.create(request_id="r-1", name="Bob")

    assert first.name == again.name
    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()


async def test_the_catalogue_says_how_a_flow_is_launched(mesh: Stack) -> None:
    """An app tells its schema and form when it is loaded."""
    (app,) = (await mesh.apps.ListApps(app_pb2.ListAppsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)).apps
    (flow,) = app.flows

    assert app_pb2.LAUNCHER_SCHEMA == flow.launcher
    assert {"name", "times"} == set(json.loads(flow.input_schema_json)["properties"])
    assert {"name", "times"} <= {element.get("name") for element in json.loads(flow.elements_json)}
