"""Payments on the command line and in the client, on a real mesh with its own ledger."""

import json
import secrets

import httpx
import pytest

from agentmesh.cli.jobs.payments import price
from agentmesh.client import Job, NotFound
from agentmesh.testing import Mesh
from tests.cli.conftest import AGENT, Cli
from tests.mesh_wide.test_kills import eventually


@pytest.fixture
def unpaid(cli_mesh: Mesh) -> Job:
    """Return a job that waits to be paid for."""
    with httpx.Client(base_url=cli_mesh.url, timeout=60) as http:
        login = http.post("/api/login", json={"name": "admin", "password": "admin"}).json()
        http.headers["KODOSUMI_API_KEY"] = login["KODOSUMI_API_KEY"]
        body = {"identifier_from_purchaser": secrets.token_hex(10), "input_data": {"name": "Ada"}}
        answer = http.post("/sumi/sold/start_job", json=body)
    assert answer.status_code == 201, answer.text
    job = cli_mesh.client.job(answer.json()["job_id"])
    # The answer does not wait for what there is to pay.
    eventually(lambda: next(payment for payment in cli_mesh.client.watch_payment(job.name) if payment.payable))
    return job


def test_a_job_is_paid_for(cli: Cli, cli_mesh: Mesh, unpaid: Job) -> None:
    """`pay` says how it stands, and ends with 0 when the money is in escrow; then the job runs."""
    paid = cli("pay", unpaid.id)

    assert (0, "") == (paid.code, paid.err)
    lines = paid.out.splitlines()
    assert f"{unpaid.name} requested" == lines[0]
    assert f"{unpaid.name} FundsLockingRequested (10 ADA)" in lines
    assert f"{unpaid.name} funds_locked" == lines[-1]
    assert "Hello, **Ada**!" == cli_mesh.client.wait(unpaid.name, timeout_s=60).text
    assert any(payment.state == "result_submitted" for payment in cli_mesh.client.watch_payment(unpaid.name))


def test_paying_again_is_no_second_payment(cli: Cli, cli_mesh: Mesh, unpaid: Job) -> None:
    """It says how the payment stands, and nothing is bought."""
    assert 0 == cli("pay", unpaid.id).code
    again = cli("pay", unpaid.id, "--json")

    assert 0 == again.code
    (payment,) = [json.loads(line) for line in again.out.splitlines()]
    assert (unpaid.name, AGENT, "Preprod") == (payment["job"], payment["agent_identifier"], payment["network"])
    assert "FundsLockingRequested" not in again.out


def test_payments_are_listed_with_their_price(cli: Cli, unpaid: Job) -> None:
    """Newest first, in ADA."""
    row = cli("payments", "--limit", "1").out.rstrip("\n").split("\t")
    (record,) = [json.loads(line) for line in cli("payments", "--limit", "1", "--json").out.splitlines()]

    assert [unpaid.id, "requested", "10 ADA", "Preprod"] == row[:4]
    assert f"payments/{unpaid.id}" == record["name"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--token", "wrong"), "the purchase was refused (401): Unauthorized, invalid authentication token provided"),
        (("--service", "http://127.0.0.1:1"), "no payment service answers at http://127.0.0.1:1"),
    ],
)
def test_a_purchase_that_is_refused_ends_with_2(cli: Cli, unpaid: Job, arguments: tuple[str, ...], hint: str) -> None:
    """The message is the payment service's; the job waits on."""
    done = cli("pay", unpaid.id, *arguments)

    assert 2 == done.code
    assert hint in done.err


def test_a_job_that_ended_unpaid_cannot_be_paid_for(cli: Cli, cli_mesh: Mesh, unpaid: Job) -> None:
    """Nothing is bought for a job that was cancelled."""
    cli_mesh.client.cancel(unpaid.name)

    done = cli("pay", unpaid.id)
    assert 1 == done.code
    assert f"{unpaid.name} cancelled" in done.err
    assert not cli_mesh.client.payment(unpaid.name).paid


def test_a_free_job_cannot_be_paid_for(cli: Cli, cli_mesh: Mesh) -> None:
    """The message says why; the client raises `NotFound`."""
    job = cli_mesh.client.run("greeter", {"name": "Ada"})

    done = cli("pay", job.id)
    assert (2, f"agentmesh: {job.name} costs nothing: it was started without a purchaser\n") == (done.code, done.err)
    with pytest.raises(NotFound):
        cli_mesh.client.payment(job.name)


@pytest.mark.parametrize(
    ("amounts", "shown"),
    [
        ([(10_000_000, "")], "10 ADA"),
        ([(1_500_000, ""), (7, "abcd")], "1.5 ADA + 7 abcd"),
        ([(1, "")], "0.000001 ADA"),
        ([(3, "ab" * 30)], "3 abababab…abab"),
        ([], ""),
    ],
)
def test_prices_are_readable(amounts: list[tuple[int, str]], shown: str) -> None:
    """Lovelace is told in ADA; a token by the ends of its name."""
    assert shown == price(amounts)
