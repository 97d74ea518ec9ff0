"""Locks on the command line and in the client, on a real mesh."""

import asyncio
import contextlib
import json
import os
import pathlib
import pty
import subprocess
import sys
import uuid

import httpx
import pytest

from agentmesh.client import AsyncClient, Client, InvalidInputs, Lock, MeshError, NotFound
from agentmesh.testing import Mesh
from tests.cli.conftest import Cli
from tests.cli.reading import read_to
from tests.ending import wait_procs
from tests.families import running


def waiting(mesh: Mesh, **inputs: str) -> Lock:
    """Start a job that asks, and return its lock."""
    job = mesh.client.create_job("greeter/asking", {"name": "Ada", **inputs})
    for lock in mesh.client.watch_locks():
        if lock.job == job.name:
            return lock
    raise AssertionError("unreachable: the watch has no end")


def test_a_lock_is_listed_shown_and_answered(cli: Cli, cli_mesh: Mesh) -> None:
    """`locks` shows it, `answer` takes it by its id, and the job goes on with the values."""
    lock = waiting(cli_mesh)

    assert lock.pending
    assert any(
        line.startswith(f"{lock.id}\t{lock.job[5:]}\tpending\tapproval\t") for line in cli("locks").out.split("\n")
    )
    done = cli("answer", lock.id, "--reason", "because", "--verdict", "yes", "--sure")
    assert (0, f"{lock.name} answered\n", "") == (done.code, done.out, done.err)

    assert "because, True, yes" == cli_mesh.client.wait(lock.job, timeout_s=60).text
    assert lock.id not in cli("locks").out
    ended = [json.loads(line) for line in cli("locks", "--ended", "--json", lock.job).out.splitlines()]
    assert [(lock.name, "answered")] == [(item["name"], item["state"]) for item in ended]


def test_a_lock_may_be_named_by_its_job_or_its_beginning(cli: Cli, cli_mesh: Mesh) -> None:
    """As long as that names one lock."""
    first, second = waiting(cli_mesh), waiting(cli_mesh)

    assert 0 == cli("answer", first.job, "--reason", "x").code
    assert 0 == cli("answer", "--inputs", '{"reason": "y"}', second.id[:13]).code
    assert 2 == cli("answer", first.job, "--reason", "x").code


def test_a_job_that_asks_nothing_is_waited_for_as_long_as_one_says(cli_mesh: Mesh, typed: Cli) -> None:
    """And that it is, is said."""
    job = cli_mesh.client.create_job("greeter/slow", {"name": "Ada"})
    done = typed("answer", "--wait", "0.1", job.name, "--reason", "x")
    cli_mesh.client.cancel(job.name)

    assert 2 == done.code
    assert "has asked nothing yet" in done.err
    assert "there is no open lock" in done.err


def test_refused_values_end_with_2_and_name_the_field(cli: Cli, cli_mesh: Mesh) -> None:
    """Form and lease handler say what is wrong; the lock stays open for a better answer."""
    lock = waiting(cli_mesh)

    missing = cli("answer", lock.id, "--verdict", "yes")
    refused = cli("answer", lock.id, "--reason", "none")
    assert (2, 2) == (missing.code, refused.code)
    assert "reason: Reason is required" in missing.err
    assert "reason: Give a better reason." in refused.err

    assert 0 == cli("answer", lock.id, "--reason", "good").code
    late = cli("answer", lock.name, "--reason", "late")
    assert 2 == late.code
    assert "answered" in late.err


def test_an_operator_answers_for_others_and_a_user_does_not(cli: Cli, cli_mesh: Mesh) -> None:
    """By the id that `locks --all` shows; for a stranger the lock is not there."""
    key = str(uuid.uuid4())
    role = {"name": f"u{key[:8]}", "email": f"{key[:8]}@example.com", "password": key}
    with httpx.Client(base_url=cli_mesh.url, timeout=60) as http:
        login = http.post("/api/login", json={"name": "admin", "password": "admin"}).json()
        made = http.post("/role/", json=role, headers={"KODOSUMI_API_KEY": login["KODOSUMI_API_KEY"]})
        assert 201 == made.status_code, made.text
        theirs = http.post("/api/login", json={"name": role["name"], "password": key}).json()["KODOSUMI_API_KEY"]
    with Client(cli_mesh.url, token=theirs) as user:
        job = user.create_job("greeter/asking", {"name": "Eve"})
        lock = next(lock for lock in user.watch_locks() if lock.job == job.name)
        own = waiting(cli_mesh)

        assert 2 == cli("answer", own.id, "--reason", "x", AGENTMESH_TOKEN=theirs).code
        assert 2 == cli("locks", "--all", AGENTMESH_TOKEN=theirs).code
        assert lock.id not in cli("locks").out
        assert lock.id in cli("locks", "--all").out
        assert 0 == cli("answer", lock.id, "--reason", "granted").code
        assert user.wait(job.name, timeout_s=60).succeeded
    cli_mesh.client.cancel(own.job)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("nothing", "--a", "b"), "see `agentmesh locks`"),
        (("jobs/6b020a287f75b47a226ecaff/locks/0c57857e", "--a", "b"), "not found"),
    ],
)
def test_a_lock_that_is_not_there_ends_with_2(cli: Cli, arguments: tuple[str, ...], hint: str) -> None:
    """The message says where to look."""
    done = cli("answer", *arguments)

    assert 2 == done.code
    assert hint in done.err


def test_without_values_and_without_a_terminal_it_says_how(cli: Cli, cli_mesh: Mesh) -> None:
    """The form's fields are named; a misspelt one is told from one that is there."""
    lock = waiting(cli_mesh)

    assert f"agentmesh answer {lock.id} --reason … --sure … --verdict …" in cli("answer", lock.id).err
    assert "did you mean --reason?" in cli("answer", lock.id, "--raeson", "x").err
    assert 2 == cli("locks", "--watch", "--ended").code
    answered = cli(
        "answer", lock.id, "--reason", "x", "--json", "--url", cli_mesh.url, AGENTMESH_URL="http://127.0.0.1:1"
    )
    assert "answered" == json.loads(answered.out)["state"]


def test_at_a_terminal_the_form_is_asked_for(cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """Field by field; what is refused is asked for again, the rest is not."""
    lock = waiting(cli_mesh)
    controller, terminal = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "agentmesh.cli", "answer", lock.id],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "AGENTMESH_URL": cli_mesh.url, "XDG_CONFIG_HOME": str(tmp_path)},
        ) as process:
            os.write(controller, b"none\ny\n1\nbetter\n")
            out, err = process.communicate(timeout=90)
    finally:
        os.close(controller)
        os.close(terminal)

    assert (0, f"{lock.name} answered") == (process.returncode, out.strip().splitlines()[-1])
    assert "May **Ada** pass?" in err
    assert "reason: Give a better reason." in err
    assert "better, True, yes" == cli_mesh.client.wait(lock.job, timeout_s=60).text


def test_a_run_says_what_it_waits_for(cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """The lock, its fields and the command that answers it, on stderr; then the run goes on."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "agentmesh.cli", "run", "greeter/asking", "--name", "Ada"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AGENTMESH_URL": cli_mesh.url, "XDG_CONFIG_HOME": str(tmp_path)},
    ) as process:
        assert process.stderr is not None
        said = read_to(process.stderr, "agentmesh answer")
        lock = said.split("agentmesh answer ")[1].split()[0]
        assert "--reason (text, required) Reason" in said
        (asked,) = [found for found in cli_mesh.client.locks() if found.id == lock]
        cli_mesh.client.answer(asked.name, {"reason": "fine"})
        out, _ = process.communicate(timeout=90)

    assert 0 == process.returncode
    assert out.endswith("fine, False, None\n")
    assert lock in out


async def test_watched_locks_survive_a_killed_runner(cli_mesh: Mesh) -> None:
    """What changed while the runner was away is told once; nothing is told twice."""
    async with AsyncClient(cli_mesh.url) as client:
        await client.login("admin", "admin")
        job = await client.create_job("greeter/asking", {"name": "Ada", "greeting": "twice"})
        seen: list[tuple[str, str]] = []
        async with asyncio.timeout(60), contextlib.aclosing(client.watch_locks(all_owners=True)) as changes:
            async for lock in changes:
                if lock.job != job.name:
                    continue
                seen.append((lock.id, lock.state))
                if len(seen) == 1:
                    await _kill_runner(cli_mesh)
                    await _answer_when_back(client, lock)
                elif len(seen) == 3:
                    break
        await client.cancel(job.name)

    (first, second) = dict.fromkeys(name for name, _ in seen)
    assert sorted([(first, "pending"), (first, "answered"), (second, "pending")]) == sorted(seen)


async def _kill_runner(mesh: Mesh) -> None:
    runner = running(mesh.process.pid, "services.runner")
    runner.kill()
    await asyncio.to_thread(wait_procs, [runner], 60)


async def _answer_when_back(client: AsyncClient, lock: Lock) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(MeshError):
                await client.answer(lock.name, {"reason": "back"}, request_id=f"back-{lock.id}")
                return


def test_the_client_raises_by_kind(cli_mesh: Mesh) -> None:
    """Wrong fields are named; an ended lock refuses; the same request id gets the same answer."""
    lock = waiting(cli_mesh)

    with pytest.raises(InvalidInputs) as refused:
        cli_mesh.client.answer(lock.name, {})
    first = cli_mesh.client.answer(lock.name, {"reason": "x"}, request_id=lock.id)
    again = cli_mesh.client.answer(lock.name, {"reason": "x"}, request_id=lock.id)
    with pytest.raises(MeshError) as late:
        cli_mesh.client.answer(lock.name, {"reason": "y"})
    with pytest.raises(NotFound):
        cli_mesh.client.payment(lock.job)

    assert "reason" in refused.value.fields
    assert first == again == cli_mesh.client.lock(lock.name)
    assert {"reason": "x", "sure": False, "verdict": None} == first.result
    assert "FAILED_PRECONDITION" == late.value.code
    assert [] == list(cli_mesh.client.locks(lock.job))
    assert [first] == list(cli_mesh.client.locks(lock.job, ended=True))
