"""`agentmesh schedules`, `webhooks` and `retention`."""

import json

from agentmesh.testing import Mesh
from tests.cli.conftest import Cli


def test_a_schedule_from_the_command_line(cli: Cli) -> None:
    """Created, shown, fired, halted and deleted; what cannot be is named."""
    created = cli("schedules", "create", "greeter", "--cron", "@yearly", "--inputs", '{"name": "Ada"}', "--json")
    made = json.loads(created.out)
    fired = cli("schedules", "trigger", made["name"], "--json")
    firing = json.loads(fired.out)
    history = cli("schedules", "history", made["name"])
    updated = cli("schedules", "update", made["name"], "--time-zone", "Europe/Berlin", "--overlap", "allow")
    paused = cli("schedules", "pause", made["name"])
    listed = cli("schedules", "list")
    wrong = cli("schedules", "update", made["name"], "--overlap", "whatever")
    refused = cli("schedules", "create", "greeter", "--cron", "@yearly")
    deleted = cli("schedules", "delete", made["name"])

    assert ("flows/greeter", "active", "skip", {"name": "Ada"}) == (
        made["target"],
        made["state"],
        made["overlap_policy"],
        made["inputs"],
    )
    assert ("launched", True) == (firing["state"], firing["manual"])
    assert firing["job"] in history.out
    assert (0, f"{made['name']} updated, active\n") == (updated.code, updated.out)
    assert (0, f"{made['name']} paused\n") == (paused.code, paused.out)
    assert made["name"] in listed.out
    assert (2, True) == (wrong.code, "queue_one" in wrong.err)
    assert (2, True) == (refused.code, "Please say who you are." in refused.err)
    assert 0 == deleted.code
    assert 2 == cli("schedules", "show", made["name"]).code


def test_a_webhook_from_the_command_line(cli: Cli) -> None:
    """Created with a secret that is said once; one nearby is refused."""
    created = cli("webhooks", "create", "https://hooks.example.com/", "--kind", "job.*", "--disable", "--json")
    made = json.loads(created.out)
    shown = cli("webhooks", "show", made["name"])
    rotated = json.loads(cli("webhooks", "rotate", made["name"], "--json").out)
    listed = cli("webhooks", "list")
    near = cli("webhooks", "create", "http://127.0.0.1:1/")
    log = cli("webhooks", "deliveries", made["name"])
    deleted = cli("webhooks", "delete", made["name"])

    assert made["secret"].startswith("whsec_")
    assert made["secret"] not in shown.out + listed.out
    assert rotated["secret"] not in ("", made["secret"])
    assert "\tdisabled\tjob.*\t" in listed.out
    assert (2, True) == (near.code, "not a public address" in near.err)
    assert (0, "", 0) == (log.code, log.out, deleted.code)


def test_a_policy_from_the_command_line(cli: Cli) -> None:
    """Added, listed and deleted; one without a limit is refused."""
    options = ("--days", "400", "--jobs", "100000", "--mebibytes", "1000")
    made = json.loads(cli("retention", "add", *options, "--target", "flows/none", "--json").out)
    listed = cli("retention", "list")
    nothing = cli("retention", "add")
    deleted = cli("retention", "delete", made["name"])

    assert (34_560_000, 100_000) == (made["age_seconds"], made["job_count"])
    assert "\tflows/none\t400 days, 100000 jobs, 1000 MiB\t0\t" in listed.out
    assert (2, True, 0) == (nothing.code, "at least one limit" in nothing.err, deleted.code)


def test_all_by_the_client_that_blocks(cli_mesh: Mesh) -> None:
    """As the one for asyncio."""
    client = cli_mesh.client
    made = client.schedules.create(target="flows/greeter", inputs={"name": "Ada"}, cron="0 0 1 1 *")
    hook = client.webhooks.create(url="https://hooks.example.com/", kinds=["lock.*"], enabled=False)

    firing = client.schedules.trigger(made.name)

    assert client.wait(firing.job, 60).succeeded
    assert [firing.name] == [each.name for each in client.schedules.firings(made.name)]
    assert [made.name] == [each.name for each in client.schedules.list(target="flows/greeter")]
    assert [] == list(client.webhooks.deliveries(hook.name))
    assert hook.name in [each.name for each in client.webhooks.list()]
    policy = client.retention.create(target="flows/none", age_seconds=10**8)
    assert policy in list(client.retention.list())
    client.retention.delete(policy.name)
    client.schedules.delete(made.name)
    client.webhooks.delete(hook.name)
