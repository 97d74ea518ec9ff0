"""The whole service with the client of a real payment service, against the ledger behind the real gateway and Envoy.

Two meshes, as it were: one keeps the escrows and speaks HTTP; the payments service under test is another's.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.payments.v1 import payments_pb2 as pb

from meshkit.errors import FailedPrecondition
from services.payments import app
from services.payments.config import Config
from services.payments.domain import MINUTE_MS
from tests.auth.helpers import refused
from tests.gateway import stack
from tests.payments.escrows import Escrows
from tests.payments.stand import Stand

pytestmark = pytest.mark.asyncio(loop_scope="module")
RESULT = "ab" * 32


@dataclasses.dataclass(frozen=True, slots=True)
class _Auth:
    """What a `Stand` needs of an auth service that runs elsewhere."""

    secret: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """The service under test, and the other mesh's front door."""

    stand: Stand
    edge: stack.Edge

    async def seller(self, path: str, **query: str) -> Any:
        """GET something of the payment service."""
        response = await self.edge.http.get(f"/api/v1/{path}", params=query, headers={"token": "dev"})
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def control(self, path: str, body: dict[str, Any]) -> None:
        """Do what only an operator of a ledger can."""
        response = await self.edge.http.post(f"/api/v1/dev/{path}", json=body, headers=self.edge.operator)
        assert response.status_code == 200, response.text

    async def lose(self, call: str, kind: str = "lost", **more: Any) -> None:
        """Let the next such call go wrong."""
        await self.control("faults", {"call": call, "kind": kind, **more})

    async def buy(self, payment: pb.Payment) -> None:
        """Be the purchaser."""
        body = {
            "blockchainIdentifier": payment.blockchain_identifier,
            "network": payment.network,
            "inputHash": payment.input_hash,
            "sellerVkey": payment.seller_vkey,
            "agentIdentifier": payment.agent_identifier,
            "identifierFromPurchaser": payment.purchaser_identifier,
            "payByTime": str(payment.pay_by_time.ToMilliseconds()),
            "submitResultTime": str(payment.submit_result_time.ToMilliseconds()),
            "unlockTime": str(payment.unlock_time.ToMilliseconds()),
            "externalDisputeUnlockTime": str(payment.external_dispute_unlock_time.ToMilliseconds()),
        }
        response = await self.edge.http.post("/api/v1/purchase", json=body, headers={"token": "dev"})
        assert response.status_code == 200, response.text

    async def made_for(self, job: int) -> list[str]:
        """Return the identifiers of what was asked for with a job's id."""
        rows = (await self.seller("payment", network="Preprod", limit="100"))["Payments"]
        return [row["blockchainIdentifier"] for row in rows if row["metadata"] == f"{job:024x}"]


def configured(folder: pathlib.Path, edge: stack.Edge, token: str = "dev") -> Config:
    """Return the settings of the service under test."""
    folder.mkdir(exist_ok=True)
    shutil.copy(edge.config.data_dir / "mesh.secret", folder / "mesh.secret")
    masumi = {"provider": "masumi", "url": f"http://{edge.address}", "token": token, "poll_s": 0.1, "idle_poll_s": 0.1}
    return Config(
        data_dir=folder,
        auth_address=edge.config.auth_address,
        payments_address="127.0.0.1:0",
        grace_s=0.0,
        payments=json.dumps({"Preprod": masumi}),  # type: ignore[arg-type]
    )


@contextlib.asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Stand]:
    """Run the service under test for the length of the block."""
    async with (
        app.running(config, stopping=asyncio.Event()) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Stand(_Auth(config.secret), port, channel, Escrows())  # type: ignore[arg-type]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Both, for all tests of the module: each uses jobs of its own.  The other's chain is a fast one."""
    async with contextlib.AsyncExitStack() as held:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AGENTMESH_LEDGER_WORKER_DELAY_S", "0.05")
            environment.setenv("AGENTMESH_LEDGER_CONFIRM_DELAY_S", "0.05")
            edge = await held.enter_async_context(stack.edge(tmp_path_factory.mktemp("edge")))
        config = configured(tmp_path_factory.mktemp("payments"), edge)
        async with serving(config) as stand:
            yield Pair(stand, edge)


async def test_the_way_it_should_go(pair: Pair) -> None:
    """Asked, bought, submitted, on the chain, and at last withdrawn."""
    made = await pair.stand.create(1)
    await pair.buy(made)
    locked = await pair.stand.until_state(made.name, "FUNDS_LOCKED")
    await pair.stand.submit(made.name, RESULT)
    await pair.stand.until_state(made.name, "RESULT_SUBMITTED")

    assert (made.provider, made.state, made.error) == ("masumi", pb.PAYMENT_STATE_REQUESTED, "")
    assert locked.blockchain_identifier == made.blockchain_identifier
    assert await pair.made_for(1) == [made.blockchain_identifier]


async def test_the_embedded_ledger_is_the_same(pair: Pair) -> None:
    """The other mesh's own payments service has it in its process: one purchaser's API, one life of a payment."""
    config = pair.edge.config
    async with grpc.aio.insecure_channel(config.payments_address) as channel:
        stand = Stand(_Auth(config.secret), 0, channel, Escrows())  # type: ignore[arg-type]
        made = await stand.create(80)
        await pair.buy(made)
        await stand.until_state(made.name, "FUNDS_LOCKED")
        await stand.submit(made.name, RESULT)
        done = await stand.until_state(made.name, "RESULT_SUBMITTED")

    assert (done.provider, done.error) == ("ledger", "")


@pytest.mark.parametrize(("job", "fault"), [(10, {"kind": "lost"}), (11, {"kind": "error", "status": 503})])
async def test_a_lost_answer_makes_no_second_payment(pair: Pair, job: int, fault: dict[str, Any]) -> None:
    """`POST /payment` is carried out, and the answer does not come; or it is not, and says so."""
    await pair.lose("payment", **fault)
    made = await pair.stand.create(job)
    if made.state == pb.PAYMENT_STATE_CREATED:
        made = await pair.stand.until_state(made.name, "REQUESTED")

    assert await pair.made_for(job) == [made.blockchain_identifier]


@pytest.mark.parametrize("call", ["payment/diff", "payment/resolve"])
async def test_a_lost_look_is_repeated(pair: Pair, call: str) -> None:
    """The lock is seen all the same."""
    job = {"payment/diff": 20, "payment/resolve": 21}[call]
    made = await pair.stand.create(job)
    await pair.lose(call, count=2)
    await pair.buy(made)

    await pair.stand.until_state(made.name, "FUNDS_LOCKED")


@pytest.mark.parametrize(("job", "fault"), [(30, {"kind": "lost"}), (31, {"kind": "error", "status": 500})])
async def test_a_submit_that_goes_wrong_reaches_the_chain(pair: Pair, job: int, fault: dict[str, Any]) -> None:
    """Whether it was carried out or not."""
    made = await pair.stand.create(job)
    await pair.buy(made)
    await pair.stand.until_state(made.name, "FUNDS_LOCKED")
    await pair.lose("payment/submit-result", **fault)
    await pair.stand.submit(made.name, RESULT)
    done = await pair.stand.until_state(made.name, "RESULT_SUBMITTED")

    assert done.error == ""


async def test_a_stuck_submit_is_recovered(pair: Pair) -> None:
    """The transaction fails; it is queued again, with the version that was seen."""
    made = await pair.stand.create(40)
    await pair.buy(made)
    await pair.stand.until_state(made.name, "FUNDS_LOCKED")
    body = {"blockchainIdentifier": made.blockchain_identifier, "side": "payment", "stuck": "Tx timed out"}
    await pair.control("records", body)
    await pair.stand.submit(made.name, RESULT)
    done = await pair.stand.until_state(made.name, "RESULT_SUBMITTED")

    assert done.error == ""


async def test_an_unregistered_agent_fails_the_payment(pair: Pair) -> None:
    """In the service's words."""
    made = await pair.stand.create(50, agent_identifier="ab" * 60)

    assert made.state == pb.PAYMENT_STATE_FAILED
    assert "not registered" in made.error


async def test_a_bad_key_is_told_and_the_service_is_up(pair: Pair, tmp_path: pathlib.Path) -> None:
    """New payments are refused with the reason; everything else answers."""
    async with serving(configured(tmp_path / "other", pair.edge, token="wrong")) as stand:
        told = await refused(FailedPrecondition, stand.create(60))
        listed = await stand.payments.ListPayments(pb.ListPaymentsRequest(), metadata=stand.badge, timeout=60)

    assert "Unauthorized" in str(told)
    assert not listed.payments


async def test_what_went_by_while_it_was_down_is_seen(pair: Pair, tmp_path: pathlib.Path) -> None:
    """It restarts on its own file; the purchaser paid and got the money back meanwhile."""
    config = configured(tmp_path / "down", pair.edge)
    async with serving(config) as stand:
        made = await stand.create(70)
        unpaid = await stand.create(71)
    await pair.buy(made)
    locked = f"{made.blockchain_identifier}"
    body = {"network": "Preprod", "blockchainIdentifier": locked}
    async with asyncio.timeout(60):
        while True:
            url = "/api/v1/payment/resolve-blockchain-identifier"
            found = await pair.edge.http.post(url, json=body, headers={"token": "dev"})
            if found.json()["data"]["onChainState"] == "FundsLocked":
                break
    await pair.control("clock", {"advanceSeconds": 120 * MINUTE_MS / 1000})
    async with serving(config) as stand:
        refunded = await stand.until_state(made.name, "REFUNDED")
        failed = await stand.until_state(unpaid.name, "FAILED")

    assert refunded.HasField("lock_time")
    assert "payByTime" in failed.error
