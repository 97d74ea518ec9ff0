"""`agentmesh run` for people: what it asks, shows and offers, at a real mesh."""

import json
import os
import pathlib
import pty
import subprocess
import sys

import pytest

from agentmesh.testing import Mesh
from tests.cli.conftest import Cli


def at_a_terminal(mesh: Mesh, folder: pathlib.Path, typed: bytes, *arguments: str) -> tuple[int, str, str]:
    """Return the exit code and the output of a command whose standard input is a terminal where somebody types."""
    controller, terminal = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "agentmesh.cli", *arguments],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "AGENTMESH_URL": mesh.url, "XDG_CONFIG_HOME": str(folder)},
        ) as process:
            os.write(controller, typed)
            out, err = process.communicate(timeout=90)
    finally:
        os.close(controller)
        os.close(terminal)
    return process.returncode, out, err


def test_at_a_terminal_what_is_missing_is_asked_for(cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """All of the form if nothing is given, else what is required; an empty answer takes the default."""
    code, out, err = at_a_terminal(cli_mesh, tmp_path, b"Ada\n\n", "run", "greeter")
    assert (0, "Hello, **Ada**!") == (code, out.splitlines()[-1])
    assert "Greeting [Hello]" in err

    code, out, err = at_a_terminal(cli_mesh, tmp_path, b"Bob\n", "run", "greeter", "--greeting", "Hi")
    assert (0, "Hi, **Bob**!") == (code, out.splitlines()[-1])
    assert "Greeting" not in err


def test_what_follows_the_flow_may_be_options_of_the_command(
    typed: Cli, cli_mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the flow has an input of that name; `--help` there lists its inputs."""
    assert ["--name\ttext\tName\trequired", "--greeting\ttext\tGreeting (Hello)\t"] == typed(
        "run", "greeter", "--help"
    ).out.splitlines()
    assert all(json.loads(line)["seq"] for line in typed("run", "greeter", "--name", "Ada", "--json").out.splitlines())
    assert typed("run", "greeter", "--name", "Ada", "--detach").out.startswith("jobs/")
    monkeypatch.setenv("AGENTMESH_URL", "http://127.0.0.1:1")
    done = typed("run", "greeter", "--name", "Ada", "--url", cli_mesh.url)
    assert (0, "Hello, **Ada**!") == (done.code, done.out.splitlines()[-1])


def test_a_run_that_costs_is_paid_for_if_asked(typed: Cli) -> None:
    """By the ledger that a mesh on loopback has."""
    done = typed("run", "--pay", "sold", "--name", "Ada")

    assert (0, "Hello, **Ada**!") == (done.code, done.out.splitlines()[-1])
    assert "costs" not in done.err


def test_a_status_says_what_answers_and_what_runs(typed: Cli, cli_mesh: Mesh) -> None:
    """For people, and as one object."""
    job = cli_mesh.client.create_job("greeter/slow", {"name": "Ada"})
    done, said = typed("status"), json.loads(typed("status", "--json").out)
    cli_mesh.client.cancel(job.name)

    assert 0 == done.code
    assert {"auth", "gateway", "registry", "runner", "payments"} == said["services"].keys()
    assert ("admin (operator)", cli_mesh.url) == (said["you"], said["mesh"])
    assert 1 <= sum(said["jobs"].values())
    assert "answers in " in done.out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("agentmesh run gre", "greeter/slow"),
        ("agentmesh run greeter --gr", "--greeting"),
        ("agentmesh rer", "rerun"),
        ("agentmesh run --det", "--detach"),
    ],
)
def test_a_shell_is_told_what_may_follow(cli: Cli, words: str, offered: str) -> None:
    """Flows, their inputs, commands and options; nothing else is printed."""
    done = cli(_AGENTMESH_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))

    assert offered in done.out.splitlines()
    assert "" == done.err


def test_a_shell_is_offered_jobs(cli: Cli, cli_mesh: Mesh) -> None:
    """The newest; where no mesh answers, none, and no word of it."""
    job = cli_mesh.client.run("greeter", {"name": "Ada"})
    words = {"_AGENTMESH_COMPLETE": "complete_bash", "COMP_WORDS": f"agentmesh show {job.id[:12]}", "COMP_CWORD": "2"}

    assert job.id in cli(**words).out.splitlines()
    silent = cli(**words, AGENTMESH_URL="http://127.0.0.1:1")
    assert ("", "") == (silent.out.strip(), silent.err)
