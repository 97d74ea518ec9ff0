"""Kill -9 of what a paid job stands on, at every step of its way: it ends, is paid for once, and its log has no gap."""

import contextlib
import functools
import json
import os
import pathlib
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import grpc
import httpx
import psutil
import pytest
from agentmesh_protos.payments.v1 import ledger_pb2, ledger_pb2_grpc

from agentmesh.client import Job, MeshError, Payment
from agentmesh.testing import Mesh, running_mesh
from tests.ending import wait_procs
from tests.mesh_wide import meshes

T = TypeVar("T")

STAGES = ("created", "awaiting payment", "locked", "running", "awaiting input", "submitting")
PARTS = {
    "payments": "services.payments",
    "ledger": "services.ledger",
    "runner": "services.runner",
    "gateway": "gateway",
    "host": "",
}
HELD = ("running", "awaiting input")
"""When the host holds the job: with the host it is lost."""
NETWORK = "Preprod"
AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "65" * 16
PRICE = 10_000_000
FEE = PRICE * 50 // 1000
DEADLINE_S = 60.0
PASSING = (httpx.HTTPError, grpc.RpcError, psutil.Error, MeshError, AssertionError, OSError)
"""What a mesh that mends itself may say for a while."""

pytestmark = pytest.mark.xdist_group("kills")


class World:
    """A mesh with a paid flow and a quick ledger, and everybody who deals with it: user, purchaser, operator."""

    def __init__(self, mesh: Mesh, gates: pathlib.Path) -> None:
        self.mesh = mesh
        self.gates = gates
        """The folder that its flow may read."""
        self.client = mesh.client
        self.http = httpx.Client(base_url=mesh.url, timeout=60)
        login = self.http.post("/api/login", json={"name": "admin", "password": "admin"}).json()
        self.key = str(login["KODOSUMI_API_KEY"])
        self.http.headers["KODOSUMI_API_KEY"] = self.key
        self._channel = grpc.insecure_channel(mesh.url.removeprefix("http://"))
        self._control = ledger_pb2_grpc.LedgerControlServiceStub(self._channel)
        self._buyer = {"token": mesh.client.development_token()}
        key = ledger_pb2.LedgerKey(
            display_name=f"accountant-{secrets.token_hex(4)}", can_admin=True, networks=[NETWORK]
        )
        made = self._operate(self._control.CreateLedgerKey, ledger_pb2.CreateLedgerKeyRequest(key=key))
        self._accountant = {"token": made.token}
        """Sees everybody's records."""
        self.ended: dict[str, bool] = {}
        """The jobs that were led to their end, and whether they gave a result."""

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
        self._channel.close()

    def process(self, part: str) -> psutil.Process:
        """Return the process of a part as it is now."""
        if part != "host":
            return eventually(functools.partial(meshes.child, self.mesh, PARTS[part]))
        return psutil.Process(eventually(self._host))

    def _host(self) -> int:
        job = self.client.run("errand", free=True)
        (said,) = [event for event in self.client.events(job.name) if event.kind == "result"]
        return int(typed(said.payload)["host"])

    def start(self, gate: str) -> str:
        """Start a paid job; return its name."""
        identifier = secrets.token_hex(13)
        body = {"identifier_from_purchaser": identifier, "input_data": {"gate": gate, "question": "Well?"}}
        once = {"Idempotency-Key": identifier}

        def post() -> str:
            answer = checked(self.http.post("/sumi/errand/start_job", json=body, headers=once))
            assert "job_id" in answer, answer  # while its host is away, the app cannot be asked
            return f"jobs/{answer['job_id']}"

        return eventually(post)

    def buy(self, payment: Payment) -> None:
        """Pay, as a purchaser who tries until it is said to be done; the second purchase is a conflict."""

        def post() -> None:
            answer = self.http.post("/api/v1/purchase/", json=payment.purchase(), headers=self._buyer)
            assert answer.status_code in (200, 409), answer.text

        eventually(post)

    def payment(self, job: str, when: Callable[[Payment], bool]) -> Payment:
        """Wait until a payment is as it should be; it may not be there yet."""
        return eventually(lambda: until(self.client.watch_payment(job), when))

    def fault(self, call: str, kind: ledger_pb2.LedgerFaultKind.ValueType, **how: Any) -> None:
        """Let a call of the ledger go wrong."""
        fault = ledger_pb2.LedgerFault(call=call, kind=kind, **how)
        eventually(lambda: self._operate(self._control.InjectFault, ledger_pb2.InjectFaultRequest(fault=fault)))

    def pass_time(self, seconds: float) -> None:
        """Set the ledger's clock ahead."""
        self._operate(self._control.SetLedgerClock, ledger_pb2.SetLedgerClockRequest(advance_s=seconds))

    def balances(self) -> "Counter[str]":
        """Return what each kind of account holds, in lovelace: escrow, fees, genesis, and each wallet by itself."""
        answer = eventually(lambda: self._operate(self._control.ListBalances, ledger_pb2.ListBalancesRequest()))
        found: Counter[str] = Counter()
        for balance in answer.balances:
            kind, _, rest = balance.account.partition(":")
            found[balance.account if kind == "wallet" else kind] += int(balance.money.amount)
            assert rest
            assert not balance.money.unit
        return found

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the ledger's newest records of sellers (`payment`) or buyers (`purchase`)."""
        path = f"/api/v1/{kind}/"
        answer = eventually(
            lambda: checked(self.http.get(path, params={"network": NETWORK, "limit": 100}, headers=self._accountant))
        )
        return list(answer["data"]["Payments" if kind == "payment" else "Purchases"])

    def _operate(self, method: Any, request: Any) -> Any:
        return method(request, timeout=60, metadata=[("authorization", f"Bearer {self.key}")])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return a mesh for the tests of this file."""
    env = {"AGENTMESH_LEDGER_WORKER_DELAY_S": "0.05", "AGENTMESH_LEDGER_CONFIRM_DELAY_S": "0.1"}
    gates = tmp_path_factory.mktemp("gates")
    with running_mesh(data_dir=tmp_path_factory.mktemp("kills"), cwd=meshes.ROOT, env=env) as mesh:
        meta = {"/": f"agentIdentifier: {AGENT}\n"}
        bootstrap = f"import_path: tests.apps.errand:app\npaths: {{read: [{gates}]}}\n"
        mesh.client.save_expose("errand", bootstrap, network=NETWORK, meta=meta)
        assert [] == [step for step in mesh.client.boot() if step.kind in ("error", "warning")]
        world = World(mesh, gates)
        yield world
        world.close()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_paid_job_outlives_a_kill(world: World, part: str, stage: str) -> None:
    """It gives its result and is paid for; when it dies with its host it says so, and the money goes back."""
    gate = world.gates / uuid.uuid4().hex
    os.mkfifo(gate)

    lost = part == "host" and stage in HELD

    name = lead(world, stage, world.process(part), gate, lost=lost)

    job = eventually(lambda: world.client.wait(name, DEADLINE_S))
    check_log(world, job)
    check_outcome(world, job, may_fail=lost or (part, stage) == ("host", "locked"), must_fail=lost)
    check_ledger(world, job)
    world.ended[name] = job.succeeded


def lead(world: World, stage: str, victim: psutil.Process, gate: pathlib.Path, *, lost: bool) -> str:
    """Lead a job from its start to its end, and kill the victim on the way; return the job's name.

    `lost` says that the job dies with the victim.
    """

    def at(this: str) -> None:
        if this == stage:
            victim.kill()
            wait_procs([victim], timeout=30)

    if stage == "created":  # the ledger has heard of it, and we have not heard back
        world.fault("payment", ledger_pb2.LEDGER_FAULT_KIND_LOST, delay_s=2.5)
    name = world.start(str(gate))
    if stage == "created":
        world.payment(name, lambda payment: True)  # as a rule created; on a busy machine it may be further
    at("created")
    payment = world.payment(name, lambda payment: payment.payable)
    at("awaiting payment")
    world.buy(payment)
    world.payment(name, lambda payment: payment.paid)
    at("locked")
    begun = until(world.client.watch(name), lambda event: event.kind == "result" or event.last)
    at("running")
    # A job is taken up so fast that the host which is killed once the money is locked may have it already.
    taken = stage == "locked" and not begun.last and typed(begun.payload)["host"] == victim.pid
    if begun.last or taken or (lost and stage == "running"):
        return name
    open_gate(gate)
    asked = until(world.client.watch(name), lambda event: event.kind == "lock" or event.last)
    at("awaiting input")
    if asked.last or (lost and stage == "awaiting input"):
        return name
    if stage == "submitting":
        world.fault("payment/submit-result", ledger_pb2.LEDGER_FAULT_KIND_ERROR, count=2)
    lock = f"{name}/locks/{typed(asked.payload)['lid']}"
    eventually(lambda: world.client.answer(lock, {"word": "please"}, request_id=lock))
    if stage == "submitting":
        payment = world.payment(name, lambda payment: bool(payment.result_hash))
        assert payment.state in ("funds_locked", "result_submitted")  # the latter where a busy machine looks late
    at("submitting")
    return name


def check_log(world: World, job: Job) -> None:
    """The log counts from 1, has no gap, and says each thing that happens once only once."""
    events = eventually(lambda: world.client.events(job.name))
    assert list(range(1, job.last_seq + 1)) == [event.seq for event in events]
    assert events[-1].last
    steps = [typed(event.payload)["step"] for event in events if event.kind == "payment"]
    assert ["initialized", *(["final_result"] if job.succeeded else [])] == steps
    kinds = Counter(event.kind for event in events)
    once = ["inputs", "meta", "result", "lock", "lease", "final"] if job.succeeded else ["inputs", "meta", "error"]
    assert dict.fromkeys(once, 1) == {kind: kinds[kind] for kind in once}


def check_outcome(world: World, job: Job, *, may_fail: bool, must_fail: bool) -> None:
    """A result reaches the chain; a failure is the host's, and a refund is intended."""
    if job.succeeded:
        assert not must_fail
        assert "The word is *please*." == job.text
        payment = world.payment(job.name, lambda payment: payment.state == "result_submitted")
        assert payment.result_hash
        assert not payment.refund_intended
        return
    assert may_fail, f"{job.reason}: {job.error}\n{world.mesh.log()[-4000:]}"
    assert ("failed", "worker_lost") == (job.state, job.reason)
    assert job.error
    payment = world.payment(job.name, lambda payment: payment.refund_intended)
    assert not payment.result_hash


def check_ledger(world: World, job: Job) -> None:
    """The ledger was asked once, and paid once; no money came from nowhere."""
    payment = eventually(lambda: world.client.payment(job.name))
    asked = [record for record in world.records("payment") if record["metadata"] == job.id]
    bought = [
        record
        for record in world.records("purchase")
        if record["blockchainIdentifier"] == payment.blockchain_identifier
    ]
    assert [payment.blockchain_identifier] == [record["blockchainIdentifier"] for record in asked]
    assert 1 == len(bought)
    balances = world.balances()
    assert 0 == balances.total()
    assert PRICE * (len(world.ended) + 1) == balances["escrow"]


def test_in_the_end_everybody_has_what_is_theirs(world: World) -> None:
    """When all deadlines have passed: the seller is paid for each result, the buyer has the rest back."""
    before = world.balances()
    world.pass_time(24 * 3600)

    states = {name: world.payment(name, lambda payment: payment.ended).state for name in world.ended}

    results = sum(world.ended.values())
    after = world.balances()
    assert {name: "withdrawn" if good else "refunded" for name, good in world.ended.items()} == states
    assert (0, 0) == (after.total(), after["escrow"])
    assert FEE * results == after["fees"]
    gained = sorted(after[wallet] - before[wallet] for wallet in after if wallet.startswith("wallet:"))
    moved = [PRICE * (len(states) - results), (PRICE - FEE) * results]
    assert sorted(filter(None, moved)) == list(filter(None, gained))


def open_gate(gate: pathlib.Path) -> None:
    """Let the job that waits at a named pipe go on."""

    def open_once() -> None:
        os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))  # fails until somebody reads

    eventually(open_once)


def until(items: Iterator[T], when: Callable[[T], bool]) -> T:
    """Return the first of the items that is as it should be."""
    assert isinstance(items, Generator)
    with contextlib.closing(items) as stream:
        item: T
        for item in stream:
            if when(item):
                return item
    raise AssertionError("it ended before")


def eventually(work: Callable[[], T]) -> T:
    """Try again for as long as the mesh needs to mend itself."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return work()
        except PASSING:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # between two tries, not for a state


def checked(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of a good answer."""
    assert answer.status_code in (200, 201), f"{answer.status_code}: {answer.text}"
    return dict(answer.json())


def typed(payload: str) -> dict[str, Any]:
    """Return what an event holds."""
    return dict(json.loads(payload)["dict"])
