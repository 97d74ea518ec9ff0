"""`agentmesh chat`, and what `agentmesh run` shows of an agent."""

import contextlib
import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
from typing import IO

import pytest

from agentmesh.client import AsyncClient, Client, InvalidInputs, Model, NotFound
from agentmesh.testing import Mesh
from tests.cli.conftest import Cli
from tests.cli.reading import read_to

OFFLINE = Model(provider="offline")


@pytest.fixture(scope="module")
def agent(cli_mesh: Mesh) -> str:
    """Return the slug of an agent on the offline model, whose tool `guarded` has to be approved."""
    tool = cli_mesh.client.tools.create(
        display_name="guarded", kind="http", endpoint="https://example.com/x", needs_approval=True
    )
    made = cli_mesh.client.agents.create(
        display_name="Talker", slug="talker", model=OFFLINE, tools=["calculator", tool.name], state="active"
    )
    return made.slug


def test_a_talk_through_a_pipe_goes_on_later(cli: Cli, cli_mesh: Mesh, agent: str) -> None:
    """Each line is a message of one conversation, which is named at the end; blank lines say nothing."""
    first = cli("chat", agent, stdin="What is 6*7? Use the calculator.\n\nThank you")
    name = first.err.strip()
    second = cli(
        "chat", f"agents/{agent}", "--conversation", name.removeprefix("conversations/"), "--json", stdin="Bye\n"
    )
    (exchange,) = [json.loads(line) for line in second.out.splitlines()]
    talk = cli_mesh.client.conversations.get(name)
    messages = list(cli_mesh.client.conversations.messages(name))

    assert (0, 0, name) == (first.code, second.code, second.err.strip())
    assert "42" in first.out
    assert 2 == first.out.count("[offline model]")
    assert ("Bye", name, "succeeded", "") == tuple(
        exchange[key] for key in ("message", "conversation", "state", "error")
    )
    assert exchange["answer"].startswith("[offline model]")
    assert ["What is 6*7? Use the calculator.", "Thank you", "Bye"] == [m.content for m in messages if m.role == "user"]
    assert ["user", "assistant"] * 3 == [message.role for message in messages]
    assert (exchange["answer"], exchange["job"]) == (messages[-1].content, messages[-1].job)
    assert ("What is 6*7? Use the calculator.", 6, 3) == (talk.title, talk.message_count, talk.job_count)


def test_nothing_said_leaves_nothing(cli: Cli, cli_mesh: Mesh, agent: str) -> None:
    """An end of input at once begins no conversation."""
    before = [talk.name for talk in cli_mesh.client.conversations.list()]
    done = cli("chat", agent)

    assert (0, "", "") == (done.code, done.out, done.err)
    assert before == [talk.name for talk in cli_mesh.client.conversations.list()]


@pytest.mark.parametrize(
    "arguments", [("nobody",), ("talker", "--conversation", "0199f3a1-0000-7000-8000-000000000000")]
)
def test_who_is_not_there_is_refused_before_a_line_is_read(cli: Cli, agent: str, arguments: tuple[str, ...]) -> None:
    """Exit code 2, and no conversation."""
    done = cli("chat", *arguments, stdin="Hello\n")

    assert (2, "") == (done.code, done.out)
    assert "not found" in done.err


def test_at_a_terminal_it_asks_until_ctrl_c(cli_mesh: Mesh, agent: str, tmp_path: pathlib.Path) -> None:
    """A prompt for each line on stderr; Ctrl-C at one ends the talk as the end of the input does."""
    controller, terminal = pty.openpty()
    try:
        with talking(cli_mesh, agent, tmp_path, stdin=terminal) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            read_until(process.stderr, "> ")
            os.write(controller, b"Hello there\n")
            said = read_until(process.stderr, "> ")
            out, err = interrupted(process)
    finally:
        os.close(controller)
        os.close(terminal)

    assert 0 == process.returncode
    assert "" == said.removesuffix("> ")
    assert out.startswith("[offline model]")
    assert err.strip().startswith("conversations/")


def test_an_approval_is_told_and_a_failed_answer_ends_with_1(
    cli_mesh: Mesh, agent: str, tmp_path: pathlib.Path
) -> None:
    """The talk waits for the lock, as a run does; one whose job was cancelled has no answer."""
    with talking(cli_mesh, agent, tmp_path, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write("Use guarded\nUse guarded again\n")
        process.stdin.flush()
        first = asked(process.stderr)
        (waiting,) = [lock for lock in cli_mesh.client.locks() if lock.id == first]
        cli_mesh.client.answer(waiting.name, {"approve": False, "comment": "not today"})
        second = asked(process.stderr)
        (waiting,) = [lock for lock in cli_mesh.client.locks() if lock.id == second]
        cli_mesh.client.cancel(waiting.job)
        out, err = process.communicate(timeout=90)

    assert 1 == process.returncode
    assert "not today" in out
    assert 1 == out.count("[offline model]")
    assert f"{waiting.job} cancelled" in err
    assert "conversations/" in err.splitlines()[-1]


def test_a_run_of_an_agent_shows_what_it_says(cli: Cli, agent: str) -> None:
    """As text, not as the events of its log; those are there for who asks for JSON."""
    shown = cli("run", f"agents/{agent}", "--prompt", "use the calculator on 6*7")
    kinds = {
        json.loads(line)["kind"]
        for line in cli("run", "--json", f"agents/{agent}", "--prompt", "use the calculator on 6*7").out.splitlines()
    }
    lines = shown.out.splitlines()

    assert 0 == shown.code
    assert not [line for line in lines if line.split(" ")[:1] in (["token"], ["span"], ["step"])]
    assert 2 == len([line for line in lines if line.startswith("[offline model]")])  # as it came, and as the result
    assert any(line.endswith("status succeeded") for line in lines)
    assert {"token", "span", "step"} <= kinds


async def test_conversations_of_the_client(cli_mesh: Mesh, agent: str) -> None:
    """Made once per request id, found by target, and refused by kind; with asyncio and without."""
    plain: Client = cli_mesh.client
    async with AsyncClient(cli_mesh.url) as client:
        await client.login("admin", "admin")
        talk = await client.conversations.create("Sums", summary="What we count", request_id="sums-once")
        await client.wait((await client.create_job(f"agents/{agent}", {"prompt": "Hi"}, conversation=talk.name)).name)
        messages = [message async for message in client.conversations.messages(talk.id)]
        target = (await client.agents.get(agent)).name
        names = [found.name async for found in client.conversations.list(target=target)]
        with pytest.raises(InvalidInputs):
            await client.conversations.create("x" * 501)
        with pytest.raises(NotFound):
            await client.conversations.get("0199f3a1-0000-7000-8000-000000000000")

    assert ("Sums", "What we count", True, 0) == (talk.title, talk.summary, talk.active, talk.message_count)
    assert talk.name == names[0]
    assert [(0, "user"), (1, "assistant")] == [(message.index, message.role) for message in messages]
    assert "Hi" == messages[0].content
    assert messages == list(plain.conversations.messages(talk.name))
    assert talk.name == plain.conversations.create("Sums", summary="What we count", request_id="sums-once").name
    assert 2 == plain.conversations.get(talk.name).message_count
    assert talk.name in [found.name for found in plain.conversations.list()]


def talking(mesh: Mesh, agent: str, folder: pathlib.Path, *, stdin: int) -> subprocess.Popen[str]:
    """Start a talk."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "agentmesh.cli", "chat", agent],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AGENTMESH_URL": mesh.url, "XDG_CONFIG_HOME": str(folder)},
    )


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C until it ends, and return what it says; one that comes just before it reads is not heard."""
    try:
        for _ in range(6):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=15)
        raise AssertionError("Ctrl-C does not end it")
    finally:
        process.kill()


def read_until(stream: IO[str], end: str) -> str:
    """Return what a process says up to `end`, or to its end."""
    said = ""
    while not said.endswith(end) and (character := stream.read(1)):
        said += character
    return said


def asked(stream: IO[str]) -> str:
    """Return the id of the lock that the process tells of next."""
    return read_to(stream, "agentmesh answer").split("agentmesh answer ")[1].split()[0]
