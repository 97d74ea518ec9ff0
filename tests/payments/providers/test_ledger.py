"""What is particular to the mesh's own ledger as a provider: its clock, its prices, and who may call it."""

import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agentmesh_protos.payments.v1 import ledger_pb2 as pb
from agentmesh_protos.payments.v1 import ledger_pb2_grpc as pb_grpc

from meshkit import client
from meshkit.errors import FailedPrecondition, Invalid, Unauthenticated, Unavailable, from_rpc
from meshkit.identity import ServiceIdentity
from meshkit.principal import Principal, acting
from services.ledger import app as ledger_app
from services.ledger.config import Config
from services.payments.providers.ledger import LedgerProvider
from tests.payments.benches import DEADLINE_S, NETWORK, LedgerBench, good_terms, ledger_bench

HOUR_MS = 3_600_000


@pytest_asyncio.fixture
async def bench(tmp_path: pathlib.Path) -> AsyncIterator[LedgerBench]:
    """A ledger of the test's own."""
    async with ledger_bench(tmp_path) as running:
        yield running


async def registered(bench: LedgerBench, pricing_type: str) -> str:
    """Register an agent; return its identifier."""
    sources = await bench.stub.ListPaymentSources(pb.ListPaymentSourcesRequest(token="dev"), timeout=DEADLINE_S)
    (vkey,) = [each.selling_wallets[0].vkey for each in sources.sources if each.network == NETWORK]
    agent = pb.LedgerAgent(network=NETWORK, holder_vkey=vkey, display_name="agent", pricing_type=pricing_type)
    request = pb.RegisterAgentRequest(token="dev", agent=agent)
    return str((await bench.stub.RegisterAgent(request, timeout=DEADLINE_S)).agent_identifier)


async def test_prices_are_the_registrys(bench: LedgerBench) -> None:
    """Fixed as registered, none for dynamic, an error for free and for who is not known."""
    dynamic, free = await registered(bench, "Dynamic"), await registered(bench, "Free")

    assert await bench.provider.price(good_terms(bench).agent_identifier) == ((10_000_000, ""),)
    assert await bench.provider.price(dynamic) == ()
    with pytest.raises(Invalid, match="free"):
        await bench.provider.price(free)
    with pytest.raises(Invalid, match="does not know this agent"):
        await bench.provider.price("7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f78" + "ab" * 32)


async def test_the_ledgers_clock_is_followed(bench: LedgerBench) -> None:
    """Set ahead or made to stand still by an operator: it comes with the next page of changes, or when asked."""
    await bench.provider.check()
    before = bench.provider.now()
    await bench.control.SetLedgerClock(pb.SetLedgerClockRequest(advance_s=3600, scale=0), timeout=DEADLINE_S)
    assert bench.provider.now() < before + HOUR_MS
    await bench.provider.changes(before, "")
    heard = bench.provider.now()
    await bench.control.SetLedgerClock(pb.SetLedgerClockRequest(advance_s=3600), timeout=DEADLINE_S)

    assert heard >= before + HOUR_MS
    assert await bench.provider.time() == heard + HOUR_MS == bench.provider.now()


async def test_without_the_ledger_time_goes_on(tmp_path: pathlib.Path) -> None:
    """By what was last heard; that it does not answer is said by `check`."""
    async with client.connect(
        client.Peer(service="ledger", address="127.0.0.1:1"), ServiceIdentity(b"s" * 32, "payments")
    ) as channel:
        provider = LedgerProvider(NETWORK, pb_grpc.LedgerServiceStub(channel))

        assert await provider.time() <= provider.now()
        with pytest.raises(Unavailable):
            await provider.check()


async def test_the_mesh_acts_for_itself(bench: LedgerBench) -> None:
    """A user on whose behalf the call is made has no part in it: their token may have expired by then."""
    with acting(Principal(user="users/u1", token="no token of anybody's")):
        escrow = await bench.provider.request(good_terms(bench))

    assert await bench.provider.resolve(escrow.blockchain_identifier) == escrow


async def test_only_the_payments_service_needs_no_token(tmp_path: pathlib.Path) -> None:
    """Whoever else calls names a key."""
    config = Config(data_dir=tmp_path, auth_address="127.0.0.1:1", ledger_address="127.0.0.1:0", grace_s=0.0)
    async with ledger_app.running(config) as port:
        for service, refused in (("payments", False), ("gateway", True)):
            who = ServiceIdentity(config.secret, service)
            async with client.connect(client.Peer(service="ledger", address=f"127.0.0.1:{port}"), who) as channel:
                stub = pb_grpc.LedgerServiceStub(channel)
                if not refused:
                    await stub.GetLedgerKey(pb.GetLedgerKeyRequest(), timeout=DEADLINE_S)
                    continue
                with pytest.raises(Unauthenticated), from_rpc():
                    await stub.GetLedgerKey(pb.GetLedgerKeyRequest(), timeout=DEADLINE_S)


@pytest.mark.parametrize(
    ("settings", "serves"),
    [
        ({}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "0.0.0.0", "payments": '{"Preprod": {"provider": "ledger"}}'}, True),
        ({"payments": '{"Preprod": {"provider": "masumi", "url": "https://x", "token": "t"}}'}, False),
    ],
)
async def test_a_ledger_that_nobody_is_on_says_so(
    tmp_path: pathlib.Path, settings: dict[str, str], serves: bool
) -> None:
    """It keeps nothing then, not even a file."""
    config = Config(
        data_dir=tmp_path,
        auth_address="127.0.0.1:1",
        ledger_address="127.0.0.1:0",
        grace_s=0.0,
        **settings,  # type: ignore[arg-type]  # as in the environment
    )
    who = ServiceIdentity(config.secret, "payments")
    async with (
        ledger_app.running(config) as port,
        client.connect(client.Peer(service="ledger", address=f"127.0.0.1:{port}"), who) as channel,
    ):
        call = pb_grpc.LedgerServiceStub(channel).GetLedgerTime(pb.GetLedgerTimeRequest(), timeout=DEADLINE_S)
        if serves:
            await call
        else:
            with pytest.raises(FailedPrecondition, match="has no ledger"), from_rpc():
                await call

    assert serves == (tmp_path / "ledger.db").exists()


async def test_creates_may_be_repeated(bench: LedgerBench) -> None:
    """A request to be paid, a payment, an agent and a key are made once for one id, and answered alike."""
    terms = good_terms(bench)
    request = pb.RequestFundsRequest(
        network=NETWORK,
        agent_identifier=terms.agent_identifier,
        purchaser_identifier=terms.purchaser_identifier,
        input_hash=terms.input_hash,
        request_id="r1",
    )
    request.pay_by_time.FromMilliseconds(terms.pay_by_time)
    request.submit_result_time.FromMilliseconds(terms.submit_result_time)
    made = [await bench.stub.RequestFunds(request, timeout=DEADLINE_S) for _ in range(2)]
    key = pb.CreateLedgerKeyRequest(key=pb.LedgerKey(display_name="mine", can_pay=True), request_id="r1")
    keys = [await bench.control.CreateLedgerKey(key, timeout=DEADLINE_S) for _ in range(2)]
    records = await bench.stub.CountRecords(
        pb.CountRecordsRequest(network=NETWORK, side=pb.LEDGER_SIDE_PAYMENT), timeout=DEADLINE_S
    )
    request.input_hash = "ee" * 32
    with pytest.raises(Invalid) as caught, from_rpc():
        await bench.stub.RequestFunds(request, timeout=DEADLINE_S)

    assert made[0].blockchain_identifier == made[1].blockchain_identifier
    assert records.total == 1
    assert keys[0] == keys[1]
    status = await bench.stub.GetLedgerKey(pb.GetLedgerKeyRequest(token=keys[1].token), timeout=DEADLINE_S)
    assert status.display_name == "mine"
    assert list(caught.value.fields) == ["request_id"]


async def test_a_refusal_is_the_class_of_its_status(bench: LedgerBench) -> None:
    """Also one that was ordered: 503 means that nobody knows, as over HTTP."""
    fault = pb.LedgerFault(call="payment", kind=pb.LEDGER_FAULT_KIND_ERROR, status=503)
    await bench.control.InjectFault(pb.InjectFaultRequest(fault=fault), timeout=DEADLINE_S)

    with pytest.raises(Unavailable):
        await bench.provider.request(good_terms(bench))
    assert isinstance(await bench.provider.find("f" * 24, 0), list)
