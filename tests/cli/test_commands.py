"""The command line, typed at a real mesh."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from agentmesh.testing import Mesh
from tests.cli.conftest import Cli
from tests.cli.reading import read_to


def test_flows_are_listed_in_plain_lines(cli: Cli) -> None:
    """Not at a terminal: tab-separated, no heading; on loopback nobody has to log in first."""
    done = cli("flows")

    assert (0, "") == (done.code, done.err)
    assert "greeter\tGreeter\tDemo\t" in done.out.splitlines()


def test_flows_that_a_query_does_not_find_are_not_said_to_be_missing(cli: Cli) -> None:
    """What is there is another question than what was asked for."""
    assert "no flow is about 'nonsense': `agentmesh flows` lists all\n" == cli("flows", "nonsense").err


def test_a_run_shows_events_and_result_and_ends_with_0(cli: Cli) -> None:
    """Events carry their numbers; control characters of a flow do not reach the terminal."""
    done = cli("run", "greeter", "--name", "Ada")

    assert 0 == done.code
    lines = done.out.splitlines()
    assert "1 status queued" in lines
    assert any(line.endswith("debug about to greet") for line in lines)
    assert "Hello, **Ada**!" == lines[-1]
    assert "\x1b" not in done.out


def test_inputs_come_as_options_as_json_and_from_a_file(cli: Cli, tmp_path: pathlib.Path) -> None:
    """`--key value`, `--key=value` and `--inputs` mean the same; what is typed as an option wins."""
    (tmp_path / "inputs.json").write_text('{"name": "Bob", "greeting": "Hi"}')

    assert cli("run", "greeter", "--name=Ada", "--greeting", "Hi").out.endswith("Hi, **Ada**!\n")
    assert cli("run", "--inputs", '{"name": "Ada"}', "greeter").out.endswith("Hello, **Ada**!\n")
    assert cli("run", "--inputs", "@inputs.json", "greeter", "--name", "Ada").out.endswith("Hi, **Ada**!\n")


def test_options_may_follow_the_flow(cli: Cli) -> None:
    """Where people write them: --inputs and --deadline too, unless the flow has an input of that name."""
    done = cli(
        "run", "greeter", "--inputs", '{"name": "Ada", "greeting": "Hey"}', "--deadline", "80", "--greeting", "Hi"
    )

    assert (0, "") == (done.code, done.err)
    assert done.out.endswith("Hi, **Ada**!\n")
    wrong = cli("run", "greeter", "--name", "Ada", "--deadline", "soon")
    assert 2 == wrong.code
    assert "--deadline 'soon'" in wrong.err


def test_numbers_of_a_log_do_not_jump(cli: Cli) -> None:
    """Each event has its line; what the last one holds is printed as the result."""
    done = cli("run", "greeter", "--name", "Ada")
    numbers = [int(found[1]) for line in done.out.splitlines() if (found := re.match(r"(\d+) \w", line))]

    assert list(range(1, len(numbers) + 1)) == numbers
    assert re.search(r"^\d+ final$", done.out, re.MULTILINE)


def test_a_terminal_without_utf8_is_no_reason_to_stop(cli: Cli) -> None:
    """What is typed is what is sent; what cannot be shown is a question mark."""
    plain = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = cli("run", "greeter", "--name", "Zoë", **plain)

    assert (0, "") == (done.code, done.err)
    assert done.out.endswith("Hello, **Zo?**!\n")
    assert "Zoë" in cli("jobs", "--limit", "1", "--json").out


def test_a_file_may_have_a_name_that_is_no_utf8(cli: Cli, tmp_path: pathlib.Path) -> None:
    """As files from elsewhere have."""
    path = tmp_path / os.fsdecode(b"caf\xe9.json")
    path.write_text('{"name": "Ada"}')
    done = cli("run", "greeter", "--inputs", f"@{path}")

    assert (0, "") == (done.code, done.err)
    assert "Hello, **Ada**" in done.out


@pytest.mark.parametrize("retries", ["1.9", "inf", "101", "-1", "x"])
def test_retries_behind_a_flow_are_as_many_as_before_it(cli: Cli, retries: str) -> None:
    """A whole number up to a hundred."""
    done = cli("run", "greeter", "--name", "Ada", "--retries", retries)

    assert 2 == done.code
    assert "--retries" in done.err


def test_a_token_of_the_environment_that_does_not_hold_is_named(cli: Cli) -> None:
    """With what to do: nothing that is signed in here counts beside it."""
    done = cli("jobs", AGENTMESH_TOKEN="none")

    assert 2 == done.code
    assert done.err.startswith("agentmesh: AGENTMESH_TOKEN does not hold at http://")
    assert "`agentmesh keys add`" in done.err


def test_a_query_that_no_job_answers_says_so(cli: Cli) -> None:
    """On stderr: there is nothing to list."""
    done = cli("jobs", "nonsense-that-nobody-ran")

    assert (0, "") == (done.code, done.out)
    assert "no job is like that" in done.err


def test_a_failed_job_ends_with_1(cli: Cli) -> None:
    """The reason is on stderr, without a traceback."""
    done = cli("run", "greeter/broken", "--name", "Ada")

    assert 1 == done.code
    assert "failed" in done.err
    assert "it broke" in done.err
    assert "Traceback" not in done.out + done.err


def test_refused_inputs_end_with_2_and_name_the_field(cli: Cli) -> None:
    """What the form's author says is shown beside the field."""
    done = cli("run", "greeter")

    assert 2 == done.code
    assert "name: Please say who you are." in done.err


def test_an_unknown_flow_suggests_near_names(cli: Cli) -> None:
    """A typo is told from a flow that is not there."""
    done = cli("run", "greter", "--name", "Ada")

    assert 2 == done.code
    assert done.err.startswith("agentmesh: there is no flow greter; did you mean greeter")


def test_an_unknown_input_is_refused(cli: Cli) -> None:
    """The mesh would drop it without a word."""
    done = cli("run", "greeter", "--nmae", "Ada")

    assert (2, "agentmesh: greeter has no input 'nmae'; did you mean --name?\n") == (done.code, done.err)


def test_a_word_that_is_no_option_is_refused(cli: Cli) -> None:
    """Inputs look like --name value."""
    done = cli("run", "greeter", "Ada")

    assert 2 == done.code
    assert "inputs look like --name value" in done.err


def test_the_form_says_what_a_flow_asks_for(cli: Cli) -> None:
    """Names as they are typed, types, labels with defaults, and what is required."""
    assert ["--name\ttext\tName\trequired", "--greeting\ttext\tGreeting (Hello)\t"] == cli(
        "form", "greeter"
    ).out.splitlines()


def test_a_job_can_be_started_watched_listed_and_cancelled(cli: Cli) -> None:
    """`run --detach` prints the name; `cancel` returns when it is cancelled; `watch` then ends with 1."""
    name = cli("run", "--detach", "greeter/slow", "--name", "Ada").out.strip()
    job = name.removeprefix("jobs/")

    assert f"{name} cancelled\n" == cli("cancel", job).out

    watched = cli("watch", job, "--after", "1")
    assert 1 == watched.code
    assert watched.out.startswith("2 inputs ")
    assert watched.out.splitlines()[-1].endswith("status cancelled")
    assert any(
        line.startswith(f"{job}\tgreeter/slow\tcancelled\t") for line in cli("jobs", "--limit", "5").out.splitlines()
    )


def test_a_job_can_be_halted(cli: Cli) -> None:
    """Both say where it stands; what has ended is refused with words."""
    name = cli("run", "--detach", "--retries", "2", "--deadline", "300", "greeter/slow", "--name", "Ada").out.strip()

    assert f"{name} paused\n" == cli("pause", name).out
    assert cli("resume", name).out.startswith(f"{name} ")
    assert f"{name} cancelled\n" == cli("cancel", name).out
    refused = cli("pause", name)
    assert (2, "agentmesh: a job that is cancelled can be neither paused nor resumed any more\n") == (
        refused.code,
        refused.err,
    )


def test_json_is_one_object_per_line(cli: Cli) -> None:
    """For programs: events of a run, flows, jobs and exposes."""
    events = [json.loads(line) for line in cli("run", "--json", "greeter", "--name", "Ada").out.splitlines()]

    assert list(range(1, len(events) + 1)) == [event["seq"] for event in events]
    assert ("status", "succeeded") == (events[-1]["kind"], events[-1]["payload"])
    for command in (("flows",), ("jobs",), ("expose", "list")):
        assert all(json.loads(line)["name"] for line in cli(*command, "--json").out.splitlines())


def test_interrupting_a_run_leaves_the_job_and_says_so(cli: Cli, cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """Ctrl-C ends the watching with 130, not the job."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "agentmesh.cli", "run", "greeter/slow", "--name", "Ada"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AGENTMESH_URL": cli_mesh.url, "XDG_CONFIG_HOME": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            name = process.stdout.readline().split()[0]
            read_to(process.stdout, "debug waiting\n")
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=90)[1]
        finally:
            process.kill()  # a failure must not wait for the job's end

    assert 130 == process.returncode
    assert f"the job goes on: agentmesh watch {name.removeprefix('jobs/')}" in said
    assert "running" == cli_mesh.client.job(name).state
    cli_mesh.client.cancel(name)


def test_an_expose_is_added_booted_listed_and_removed(cli: Cli) -> None:
    """A broken app fails the boot, on a line of its own; the others run on."""
    first = cli("expose", "add", "lost", "no_such_module:ap")
    again = cli("expose", "add", "lost", "no_such_module:app", "--env", "A=1", "--display", "Lost")
    assert "lost saved; start it with: agentmesh boot\n" == first.out
    assert "lost replaces the one of that name; start it with: agentmesh boot\n" == again.out
    upper = cli("expose", "add", "Lost", "no_such_module:app")
    assert again.out == upper.out
    assert "'Lost' is called 'lost': names are in lower case\n" == upper.err
    booted = cli("boot")
    lines = booted.out.splitlines()
    rows = {line.split("\t")[0]: line.split("\t") for line in cli("expose", "list").out.splitlines()}

    assert 1 == booted.code
    assert [
        line for line in lines if line.startswith("✗ lost  ModuleNotFoundError: No module named 'no_such_module'; ")
    ]
    assert [line for line in lines if re.fullmatch(r"✓ greeter  \d+ flows  \d+\.\d s", line)]
    assert 1 == len([line for line in lines if "lost" in line])
    assert "running" == rows["greeter"][1]
    assert "deploy_failed" == rows["lost"][1]
    assert "ModuleNotFoundError" in rows["lost"][3]

    assert 0 == cli("expose", "rm", "lost").code
    again = cli("boot", "--json")
    steps = [json.loads(line) for line in again.out.splitlines()]
    assert 0 == again.code
    assert ["boot_started", "boot_completed"] == [steps[0]["fact"], steps[-1]["fact"]]
    assert "running" == next(step["details"]["state"] for step in steps if step["fact"] == "app_settled")
    assert "lost" not in cli("expose", "list").out
    assert 2 == cli("expose", "rm", "lost").code


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("expose", "add", "x"), "--file"),
        (("expose", "add", "x", "a:b", "--env", "novalue"), "NAME=VALUE"),
        (("expose", "add", "Not A Name", "a:b"), "name"),
        (("expose", "add", "x", "x"), "import_path 'x' must look like package.module:attribute"),
        (("expose", "add", "x", "a:b", "--meta", "nofile"), "PATH=FILE"),
        (
            ("expose", "add", "x", "a:b", "--meta", "/=missing.yaml"),
            "there is no file missing.yaml",
        ),
        (("crews", "apply", "missing.yaml"), "there is no file missing.yaml"),
        (("pay", "6b020a287f75b47a226ecaff"), "not found"),
        (("run", "--inputs", "[1]", "greeter"), "JSON object"),
        (("run", "--inputs", "@missing.json", "greeter"), "missing.json"),
        (("watch", "no-such-job"), "job no-such-job not found; see `agentmesh jobs`"),
        (("cancel", "6b020a287f75b47a226ecaff"), "not found"),
        (("serve", "nothing"), "auth, registry, runner"),
        (("up", "--log-level", "loud"), "--log-level"),
        (("flows", "--url", "ftp://x"), "http://HOST:PORT"),
        (("flows", "--url", "http://127.0.0.1:1"), "is `agentmesh up` running there?"),
        (("nonsense",), "No such command"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_remedy(cli: Cli, arguments: tuple[str, ...], hint: str) -> None:
    """One message, never a traceback."""
    done = cli(*arguments)

    assert 2 == done.code
    assert hint in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err


def test_a_login_is_kept_for_its_user_only_and_used(cli: Cli, cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """The file has mode 0600; after logout it is forgotten."""
    kept = tmp_path / "agentmesh" / "credentials.json"

    done = cli("login", "admin", "--password", "-", stdin="admin\n")

    assert (0, f"signed in as admin at {cli_mesh.url}\n") == (done.code, done.out)
    assert 0o600 == kept.stat().st_mode & 0o777
    assert cli_mesh.url in json.loads(kept.read_text())
    assert 0 == cli("flows").code
    assert 0 == cli("logout").code
    assert {} == json.loads(kept.read_text())


def test_a_wrong_password_is_refused(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Nothing is kept."""
    done = cli("login", "admin", "--password", "wrong")

    assert 2 == done.code
    assert "Traceback" not in done.err
    assert not (tmp_path / "agentmesh" / "credentials.json").exists()


def test_a_sign_in_of_another_mesh_is_replaced(cli: Cli, cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """A new mesh at an old address has other keys: on loopback the command signs in again by itself."""
    folder = tmp_path / "agentmesh"
    folder.mkdir()
    stale = {"access_token": "stale", "refresh_token": "", "expires_at": 0.0, "login": "admin"}
    (folder / "credentials.json").write_text(json.dumps({cli_mesh.url: stale}))

    assert 0 == cli("flows").code
    assert "stale" != json.loads((folder / "credentials.json").read_text())[cli_mesh.url]["access_token"]


def test_an_expired_sign_in_is_renewed(cli: Cli, cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """The refresh token is exchanged once, and the new one kept."""
    kept = tmp_path / "agentmesh" / "credentials.json"
    assert 0 == cli("login", "--password", "admin").code
    before = json.loads(kept.read_text())
    before[cli_mesh.url]["expires_at"] = 1.0
    kept.write_text(json.dumps(before))

    assert 0 == cli("flows").code
    after = json.loads(kept.read_text())[cli_mesh.url]
    assert after["refresh_token"] != before[cli_mesh.url]["refresh_token"]
    assert after["expires_at"] > 1.0


def test_an_unreadable_config_folder_does_not_matter(cli: Cli, tmp_path: pathlib.Path) -> None:
    """Without a place to keep it, each command signs in for itself."""
    (tmp_path / "blocked").write_text("")

    assert 0 == cli("flows", XDG_CONFIG_HOME=str(tmp_path / "blocked")).code


def test_a_reader_that_stops_early_is_no_error(cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """`agentmesh flows | true` prints no complaint."""
    command = f"{sys.executable} -P -m agentmesh.cli flows --json | true"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
        env={**os.environ, "AGENTMESH_URL": cli_mesh.url, "XDG_CONFIG_HOME": str(tmp_path)},
    )

    assert "" == done.stderr
