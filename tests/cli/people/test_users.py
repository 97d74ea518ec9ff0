"""Users and API keys on the command line, at a real mesh."""

import json
import os
import pathlib
import subprocess
import sys
import uuid

import pytest

from agentmesh.client import Client, MeshError
from agentmesh.supervisor import kept
from agentmesh.testing import Mesh
from tests.cli.conftest import Cli


def test_a_user_is_added_changed_and_deleted(cli: Cli) -> None:
    """The password comes from stdin; what is taken or not there is refused in words."""
    login, password = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    added = cli("users", "add", login, f"{login}@example.com", "--stdin", stdin=f"{password}\n")

    assert (0, f"{login} added\n") == (added.code, added.out)
    assert 2 == cli("users", "add", login, f"{login}@example.com", "--stdin", stdin=f"{password}\n").code
    assert f"{login} user pro\n" == cli("users", "update", login, "--tier", "pro").out
    assert f"{login} user (inactive) pro\n" == cli("users", "update", login, "--inactive").out
    assert any(
        line.startswith(f"{login}\t{login}@example.com\tuser (inactive)")
        for line in cli("users", "list").out.splitlines()
    )
    assert f"{login} deleted\n" == cli("users", "delete", login).out
    assert 2 == cli("users", "delete", login).code


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("passwd",), "--stdin"),
        (("login", "admin"), "AGENTMESH_PASSWORD"),
        (("login", "--password", "-"), "--password -"),
        (("users", "add", "new", "new@example.com"), "--stdin"),
        (("users", "update", "admin", "--password"), "--stdin"),
    ],
)
def test_a_password_is_not_asked_for_where_nobody_sits(cli: Cli, arguments: tuple[str, ...], remedy: str) -> None:
    """Without a terminal it says how a program sends one, in a line."""
    done = cli(*arguments)

    assert (2, "") == (done.code, done.out)
    assert done.err.startswith("agentmesh: there is no terminal to ask for a password at: say ")
    assert remedy in done.err
    assert 1 == done.err.count("\n")


def test_a_key_signs_in_until_it_is_revoked(cli: Cli) -> None:
    """Its token is all that is printed to stdout."""
    made = cli("keys", "add", "for tests", "--days", "1")
    token = made.out.strip()
    key = made.err.split()[0]

    assert 0 == made.code
    assert "it is not shown again" in made.err
    assert "admin at " in cli("whoami", AGENTMESH_TOKEN=token).out
    assert any(line.startswith(f"{key}\tfor tests\t") for line in cli("keys", "list").out.splitlines())
    assert f"{key} deleted\n" == cli("keys", "delete", key).out
    assert key not in cli("keys", "list").out


def test_sessions_are_listed_and_ended(cli_mesh: Mesh, typed: Cli) -> None:
    """Of oneself and of others: what has ended is refused, and one is never signed out by ending the others."""
    login, password = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    cli_mesh.client.users.create(login, f"{login}@example.com", password)
    with Client(cli_mesh.url) as one, Client(cli_mesh.url) as two:
        one.login(login, password)
        two.login(login, password)
        newest, first = one.sessions.list()

        assert (False, True) == (newest.current, first.current)
        assert first.client.startswith("agentmesh ")
        one.sessions.end(newest.name)
        with pytest.raises(MeshError):
            next(two.sessions.list())
        two.login(login, password)
        assert 1 == two.sessions.end_others()
        rows = [row.split("\t") for row in typed("sessions", "list", "--user", login).out.splitlines()]
        assert [each.name for each in two.sessions.list()] == [f"sessions/{row[0]}" for row in rows]
    assert "1 ended\n" == typed("sessions", "end", "--others", "--user", login).out
    own = next(row.split()[0] for row in typed("sessions", "list").out.splitlines() if " *" in row)
    assert 2 == typed("sessions", "end", own, "--others").code
    assert "not found" in typed("sessions", "end", "nothing").err
    assert f"{own} ended\n" == typed("sessions", "end", own).out


def test_json_and_url_stand_in_any_place(cli_mesh: Mesh, cli: Cli) -> None:
    """Before the command, between its words, or behind it."""
    for arguments in (
        ("--json", "--url", cli_mesh.url, "expose", "list"),
        ("expose", f"--url={cli_mesh.url}", "--json", "list"),
    ):
        done = cli(*arguments, AGENTMESH_URL="http://127.0.0.1:1")
        assert "greeter" in {json.loads(line)["name"] for line in done.out.splitlines()}
    assert "No such option" in cli("--json", "logout").err


def test_the_log_of_a_mesh_is_read_from_its_folder(cli: Cli, cli_mesh: Mesh) -> None:
    """By process and level; it goes on with what comes."""
    data = ("--data-dir", str(cli_mesh.data_dir))
    said = [json.loads(line) for line in cli("logs", "registry", "--json", "-n", "1000", *data).out.splitlines()]

    assert {"registry"} == {line["process"] for line in said}
    assert "run ended" in {line["event"] for line in said}
    worse = cli("logs", "--level", "warning", "--json", *data).out.splitlines()
    assert {"warning", "error"} >= {json.loads(line)["level"] for line in worse}
    assert 2 == cli("logs", "--data-dir", str(cli_mesh.data_dir / "none")).code
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "agentmesh.cli", "logs", "-f", "-n", "1", "registry", *data],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()  # it listens
            name = f"x{uuid.uuid4().hex[:8]}"
            cli_mesh.client.save_expose(name, "")
            cli_mesh.client.delete_expose(name)
            assert any(name in line for line in process.stdout)
        finally:
            process.kill()


def test_as_many_lines_of_a_log_as_were_asked_for_are_shown(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Calls are in the file for programs; who reads text does not see them, and they count for nobody."""
    file = tmp_path / kept.FOLDER / kept.NAME
    file.parent.mkdir()
    call = {"process": "registry", "level": "info", "event": "rpc", "method": "ListExposes"}
    said = [{"process": "registry", "level": "info", "event": f"run {number}"} for number in range(3)]
    file.write_text("".join(json.dumps(line) + "\n" for line in [*said, *[call] * 9]))

    shown = cli("logs", "registry", "-n", "2", "--data-dir", str(tmp_path)).out.splitlines()
    assert ["run 1", "run 2"] == [" ".join(line.split()[-2:]) for line in shown]
    assert 2 == cli("logs", "-n", "2", "--json", "--data-dir", str(tmp_path)).out.count('"rpc"')


def test_a_process_that_said_nothing_is_not_taken_for_a_quiet_one(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Whoever misspells one hears which there are."""
    file = tmp_path / kept.FOLDER / kept.NAME
    file.parent.mkdir()
    file.write_text(json.dumps({"process": "registry", "level": "info", "event": "run ended"}) + "\n")

    done = cli("logs", "registri", "--data-dir", str(tmp_path))

    assert (2, "agentmesh: no line is of 'registri': there are registry\n") == (done.code, done.err)
