"""Tools: what comes with the mesh, HTTP endpoints with a token, and approval by a human."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.registry.v1 import tool_pb2
from agentmesh_protos.runner.v1 import job_pb2, trace_pb2

from services.runner.peers.memory import MemoryDefinitions
from tests.engine.defined import CALCULATOR, agent, define, ended, spans, start, text_of
from tests.engine.providers import Provider
from tests.runner.stack import Stack

TOKEN = "tool-canary-5d81e2"


def builtin(name: str) -> tool_pb2.Tool:
    """Return a tool that comes with the mesh."""
    return tool_pb2.Tool(name=f"tools/{name}", display_name=name, kind=tool_pb2.TOOL_KIND_BUILTIN, enabled=True)


def http(url: str) -> tool_pb2.Tool:
    """Return a tool that is an HTTP endpoint."""
    schema = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
    return tool_pb2.Tool(
        name="tools/weather",
        display_name="weather",
        kind=tool_pb2.TOOL_KIND_HTTP,
        endpoint=url,
        auth=tool_pb2.TOOL_AUTH_BEARER,
        has_auth_token=True,
        input_schema_json=schema,
        enabled=True,
    )


async def test_files_are_those_of_the_job(mesh: Stack, known: MemoryDefinitions) -> None:
    """A file is found by its name among the job's own; no path leads anywhere else."""
    target = define(known, agent(), [builtin("file_reader")])
    files = {"notes.txt": "the secret is tea"}

    inputs = {"prompt": "use file_reader on notes.txt", "files": files}
    found, _ = await ended(mesh, await start(mesh, target, inputs=inputs))
    asked = 'file_reader({"name": "../../../etc/passwd"})'
    missing, _ = await ended(mesh, await start(mesh, target, inputs={"prompt": asked, "files": files}))

    assert "file_reader: the secret is tea" in text_of(found)
    assert "the job has no file '../../../etc/passwd'; its files are: notes.txt" in text_of(missing)


async def test_the_search_says_that_it_is_not_configured(mesh: Stack, known: MemoryDefinitions) -> None:
    """There is no backend: it says so."""
    job, _ = await ended(mesh, await start(mesh, define(known, agent(), [builtin("web_search")]), "web_search 'tea'"))

    assert "web_search is not configured" in text_of(job)


async def test_an_http_tool_gets_its_arguments_and_token(
    mesh: Stack, known: MemoryDefinitions, models: Provider
) -> None:
    """The token goes to the endpoint and, though that echoes it, nowhere else; its place in the trace is named."""
    known.values["tools/weather"] = TOKEN
    target = define(known, agent(), [http(models.at("/tool"))])

    job, events = await ended(mesh, await start(mesh, target, 'weather({"city": "Oslo"})'))

    sent = {"arguments": {"city": "Oslo"}, "authorization": f"Bearer {TOKEN}", "x-api-key": ""}
    assert [sent] == models.tool_calls
    assert "Bearer [REDACTED]" in text_of(job)
    assert TOKEN not in str(job)
    assert not [event for event in events if TOKEN in event.payload]
    call = next(span for span in (await spans(mesh, job)).values() if span.kind == trace_pb2.SPAN_KIND_TOOL_CALL)
    assert ["result"] == call.redactions


@pytest.mark.parametrize(
    ("auth", "header", "sent"),
    [
        (tool_pb2.TOOL_AUTH_API_KEY, "x-api-key", "user:canary-73c1"),
        (tool_pb2.TOOL_AUTH_BASIC, "authorization", "Basic dXNlcjpjYW5hcnktNzNjMQ=="),
    ],
)
async def test_a_token_is_sent_as_its_tool_says(
    mesh: Stack, known: MemoryDefinitions, models: Provider, auth: Any, header: str, sent: str
) -> None:
    """And in no other way; nothing of it comes out of the job, in whichever form."""
    known.values["tools/weather"] = "user:canary-73c1"
    tool = http(models.at("/tool"))
    tool.auth = auth
    job, events = await ended(mesh, await start(mesh, define(known, agent(), [tool]), 'weather({"city": "Oslo"})'))

    headers = models.tool_calls[-1]
    assert {"authorization": "", "x-api-key": "", header: sent} == {
        name: headers[name] for name in ("authorization", "x-api-key")
    }
    told = str(job) + "".join(event.payload for event in events)
    assert not [text for text in ("canary-73c1", "dXNlcjpjYW5hcnk") if text in told]


async def test_a_key_follows_no_redirect(mesh: Stack, known: MemoryDefinitions, models: Provider) -> None:
    """It is for its endpoint only."""
    known.values["tools/weather"] = "key-canary-11"
    tool = http(models.at(f"/moved?to={models.at('/tool')}"))
    tool.auth = tool_pb2.TOOL_AUTH_API_KEY
    before = len(models.tool_calls)
    job, _ = await ended(mesh, await start(mesh, define(known, agent(), [tool]), 'weather({"city": "Oslo"})'))

    assert "it answered with status 307" in text_of(job)
    assert before == len(models.tool_calls)


async def test_a_tool_that_answers_without_end_is_cut_off(
    mesh: Stack, known: MemoryDefinitions, models: Provider
) -> None:
    """Bytes are bounded; the model hears of it, and the job goes on."""
    job, _ = await ended(mesh, await start(mesh, define(known, agent(), [http(models.at("/huge"))]), "weather 'x'"))

    assert job_pb2.JOB_STATE_SUCCEEDED == job.state
    assert "more than 1048576 bytes" in text_of(job)


async def test_a_human_approves_a_call_or_refuses_it(mesh: Stack, known: MemoryDefinitions) -> None:
    """A call waits on a lock; the answer decides, and is in the trace with an audit."""
    asking = tool_pb2.Tool()
    asking.CopyFrom(CALCULATOR)
    asking.needs_approval = True
    target = define(known, agent(), [asking])
    texts = []
    for approve in (True, False):
        job = await start(mesh, target, "calculator 6*7")
        (lock,) = await mesh.open_locks(job)
        assert job_pb2.JOB_STATE_AWAITING_INPUT == (await mesh.get(job)).state
        await mesh.answer(lock.name, approve=approve, comment="as I like")
        job, _ = await ended(mesh, job)
        texts.append(text_of(job))
        found = await spans(mesh, job)
        (audit,) = [span for span in found.values() if span.kind == trace_pb2.SPAN_KIND_AUDIT]
        event = "security.approval_granted" if approve else "security.approval_denied"
        assert (event, approve) == (audit.display_name, audit.attributes["decision"]["approve"])
        assert "as I like" == found[audit.parent].attributes["approval"]["comment"]

    assert "calculator: 42" in texts[0]
    assert "a human refused this call: as I like" in texts[1]


@pytest_asyncio.fixture
async def mcp_server() -> AsyncIterator[str]:
    """Run a real MCP server; yield its address."""
    command = [sys.executable, "-m", "tests.engine.mcp_server"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            found = None
            while found is None:
                line = await process.stderr.readline()
                assert line, "it has ended"
                found = re.search(rb"running on (http://127.0.0.1:\d+)", line)
        yield f"{found[1].decode()}/mcp"
    finally:
        process.kill()
        await process.communicate()


async def test_the_tools_of_an_mcp_server_are_called(mesh: Stack, known: MemoryDefinitions, mcp_server: str) -> None:
    """What the server offers is offered to the model; what it answers is what the model gets."""
    server = tool_pb2.Tool(
        name="tools/mcp", display_name="mcp", kind=tool_pb2.TOOL_KIND_MCP, endpoint=mcp_server, enabled=True
    )

    job, _ = await ended(mesh, await start(mesh, define(known, agent(), [server]), "shout 'hello there'"))

    assert "shout: HELLO THERE!" in text_of(job)


async def test_an_mcp_server_that_is_away_is_told_of(mesh: Stack, known: MemoryDefinitions, models: Provider) -> None:
    """The agent goes on without its tools, and says why when it would use them."""
    server = tool_pb2.Tool(
        name="tools/mcp", display_name="mcp", kind=tool_pb2.TOOL_KIND_MCP, endpoint=models.at("/none"), enabled=True
    )

    job, _ = await ended(mesh, await start(mesh, define(known, agent(), [server]), "use mcp"))

    assert job_pb2.JOB_STATE_SUCCEEDED == job.state
    assert "its server cannot be used" in text_of(job)
