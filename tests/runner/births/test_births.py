"""What is decided at a birth: whether the flow may run, and what it costs.  Whoever launches, the same is decided."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Container
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import host_pb2

from meshkit.bus import MemoryBus
from meshkit.errors import Denied, Exhausted, Internal, Invalid, NotFound, Unavailable
from meshkit.tasks import Tasks
from services.runner.births.births import Births, Order, input_hash
from services.runner.callers.shares import Shares
from services.runner.domain import Isolation, Job, PaymentStep, State, payments
from services.runner.domain.files import Kept, Limits
from services.runner.files.files import Files
from services.runner.files.sent import NOTHING, Sent
from services.runner.files.uploads import Uploads
from services.runner.hosts.links import Hosts
from services.runner.jobs.briefs import Briefs
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import Journal
from services.runner.jobs.tails import Tails
from services.runner.jobs.turns import Turns
from services.runner.peers.memory import MemoryCatalogue, MemoryDefinitions
from services.runner.ports.catalogue import Offer
from services.runner.stores.memory import MemoryStore
from services.runner.stores.memory.files import MemoryFiles
from tests.runner.filing import kept_files
from tests.runner.sealing import masks

OWNER = "users/a"
PRICED = Offer(agent_identifier="agent-1", network="Preprod")


class Slow(MemoryFiles):
    """Files in memory; while one is written, others go on."""

    async def write(self, key: str, pieces: AsyncIterator[bytes]) -> Kept:
        """See `FileStore.write`."""
        await asyncio.sleep(0)
        return await super().write(key, pieces)


class Nursery:
    """The rooms that a birth goes through."""

    def __init__(self) -> None:
        self.store, self.catalogue = MemoryStore(), MemoryCatalogue()
        hosts, bus, turns = Hosts(), MemoryBus(), Turns()
        briefs = Briefs(self.store, self.store.conversations, self.store.memories, MemoryDefinitions())
        journal = Journal(self.store, Tails(self.store, bus), hosts, turns, bus, masks(), kept_files())
        dispatcher = Dispatcher(journal, hosts, turns, briefs, bus, Tasks(), time.time)
        dispatcher.open("demo")
        dispatcher.settle()
        shares = Shares(self.store, open_max=3, stored_max=100_000)
        self.files = Files(Slow(), Limits())
        self.uploads = Uploads(self.files)
        self.births = Births(
            dispatcher,
            self.catalogue,
            hashes="",
            shares=shares,
            masks=masks(),
            uploads=self.uploads,
            now=lambda: 100.0,
        )

    async def bear(
        self, *launches: host_pb2.Launch, listed: Container[str] = (), sent: Sent = NOTHING, **order: Any
    ) -> list[Job]:
        """Bear jobs of one launch, of an app that lists flows at these paths."""
        asked = Order(owner=OWNER, expose="demo", **order)
        return await self.births.bear(launches, asked, lambda path: Isolation.PROCESS, listed=listed, sent=sent)

    async def send(self, path: str) -> Sent:
        """Send an empty file for a launch."""
        upload = await self.uploads.begin(OWNER, "", path, 0)
        return Sent({"files": [(upload.batch, upload.upload_id)]}, {"files": [path]})


def launch(number: int = 1, path: str = "/", **more: Any) -> host_pb2.Launch:
    """Return a job that a handler asks for."""
    fields: dict[str, Any] = {"job_id": f"{number:024x}", "inputs_json": '{"a":1}', "meta_json": "{}", **more}
    return host_pb2.Launch(path=path, entry_point="m:f", **fields)


@pytest.fixture
async def nursery() -> Nursery:
    """Return rooms without a host."""
    return Nursery()


async def test_a_free_flow_may_run_at_once(nursery: Nursery) -> None:
    """It waits for a host only."""
    nursery.catalogue.offer("flows/demo", Offer())

    (job,) = await nursery.bear(launch(), payment=payments.Asked(purchaser_identifier="not even looked at"))

    assert (State.QUEUED, "") == (job.state, job.payment_json)


async def test_a_priced_flow_waits_for_its_payment(nursery: Nursery) -> None:
    """Though nobody has asked for one: a nonce is drawn, and the inputs are hashed as a buyer would."""
    nursery.catalogue.offer("flows/demo", PRICED)

    (job,) = await nursery.bear(launch())
    terms = payments.terms_of(job)

    assert (State.AWAITING_PAYMENT, PaymentStep.NONE) == (job.state, job.payment_step)
    assert ("agent-1", "Preprod") == (terms.agent_identifier, terms.network)
    assert input_hash(terms.purchaser_identifier, {"a": 1}) == terms.input_hash
    payments.check_identifier(terms.purchaser_identifier)


async def test_a_buyer_says_how_it_is_paid_for_not_what_it_costs(nursery: Nursery) -> None:
    """Nonce and hash are the buyer's, agent and network the operator's."""
    nursery.catalogue.offer("flows/demo", PRICED)
    asked = payments.Asked("agent-2", "Mainnet", "ab" * 8, "cd" * 32)

    (job,) = await nursery.bear(launch(), payment=asked)
    terms = payments.terms_of(job)

    assert ("agent-1", "Preprod", "ab" * 8, "cd" * 32) == (
        terms.agent_identifier,
        terms.network,
        terms.purchaser_identifier,
        terms.input_hash,
    )


@pytest.mark.parametrize("identifier", ["xyz", "ab", "g" * 16, "a" * 27])
async def test_a_nonce_that_no_escrow_takes_is_refused(nursery: Nursery, identifier: str) -> None:
    """The error names the field; there is no job."""
    nursery.catalogue.offer("flows/demo", PRICED)

    with pytest.raises(Invalid) as caught:
        await nursery.bear(launch(), payment=payments.Asked(purchaser_identifier=identifier))

    assert ["payment.purchaser_identifier"] == list(caught.value.fields)
    assert [] == await nursery.store.open_jobs()


async def test_only_who_may_runs_free_of_charge(nursery: Nursery) -> None:
    """An operator of a mesh on loopback."""
    nursery.catalogue.offer("flows/demo", PRICED)

    with pytest.raises(Denied):
        await nursery.bear(launch(), free=True)
    (job,) = await nursery.bear(launch(), free=True, may_free=True)

    assert State.QUEUED == job.state


async def test_each_job_of_a_launch_is_priced_by_its_own_flow(nursery: Nursery) -> None:
    """A handler that starts another flow beside its own does not get it free of charge, nor on the same nonce."""
    nursery.catalogue.offer("flows/demo/paid", PRICED)
    asked = payments.Asked(purchaser_identifier="ab" * 8)

    free, paid = await nursery.bear(launch(1), launch(2, "/paid"), payment=asked)

    assert (State.QUEUED, State.AWAITING_PAYMENT) == (free.state, paid.state)
    assert payments.terms_of(paid).purchaser_identifier != "ab" * 8


async def test_a_flow_that_is_switched_off_or_unknown_does_not_run(nursery: Nursery) -> None:
    """Both are not found, in different words."""
    nursery.catalogue.offer("flows/demo/off", Offer(enabled=False))

    with pytest.raises(NotFound, match="switched off"):
        await nursery.births.offer("flows/demo/off")
    with pytest.raises(NotFound, match="not a flow"):
        await nursery.births.offer("flows/demo/none")


@pytest.mark.parametrize(
    ("flow", "listed", "words"),
    [("off", ["/", "/off"], "switched off"), ("off", ["/"], "switched off"), ("none", ["/", "/none"], "not a flow")],
)
async def test_whoever_launches_it_it_does_not_run(nursery: Nursery, flow: str, listed: list[str], words: str) -> None:
    """Not of a handler of its own, not beside another flow, and not because its app runs still."""
    nursery.catalogue.offer("flows/demo", Offer())
    nursery.catalogue.offer("flows/demo/off", Offer(enabled=False))

    with pytest.raises(NotFound, match=words):
        await nursery.bear(launch(1), launch(2, f"/{flow}"), listed=listed)

    assert [] == await nursery.store.open_jobs()


async def test_a_route_beside_the_flows_may_launch(nursery: Nursery) -> None:
    """The app does not list it, so nobody offers it or could switch it off."""
    (job,) = await nursery.bear(launch(1, "/orders/7"), listed=["/"])

    assert ("flows/demo/orders/7", State.QUEUED) == (job.flow, job.state)


@pytest.mark.parametrize(
    "wrong",
    [{"job_id": "x"}, {"job_id": "A" * 24}, {"inputs_json": "[1]"}, {"meta_json": "nope"}, {"extra_json": "1"}],
)
async def test_a_host_that_does_not_keep_to_the_protocol_starts_nothing(
    nursery: Nursery, wrong: dict[str, Any]
) -> None:
    """What it sends is wrapped into the log as it is, so it is looked at first."""
    with pytest.raises(Internal):
        await nursery.bear(launch(1), launch(2, **wrong))

    assert [] == await nursery.store.open_jobs()


async def test_what_a_dialect_notes_wins_over_the_authors(nursery: Nursery) -> None:
    """Both are kept."""
    (job,) = await nursery.bear(launch(extra_json='{"a": 1, "b": 1}'), extra={"b": 2})

    assert {"a": 1, "b": 2} == json.loads(job.extra_json)


async def test_an_upload_is_one_launchs(nursery: Nursery) -> None:
    """However many launch with it at the same time: each would have a copy that counts to no share yet."""
    nursery.catalogue.offer("flows/demo", Offer())
    sent = await nursery.send("a.txt")

    answers = await asyncio.gather(*(nursery.bear(launch(n), sent=sent) for n in (1, 2, 3)), return_exceptions=True)

    assert [True, False, False] == [not isinstance(answer, Invalid) for answer in answers]
    assert 1 == len(await nursery.files.find(OWNER, launch(1).job_id))
    assert [[], []] == [await nursery.files.find(OWNER, launch(n).job_id) for n in (2, 3)]


@pytest.mark.parametrize("is_born", [False, True])
@pytest.mark.parametrize("error", [asyncio.CancelledError, Unavailable, RuntimeError])
async def test_files_go_with_a_job_that_is_not_born(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], is_born: bool
) -> None:
    """Whatever came in between; if it came behind the write, there is a job, and they are its own."""
    nursery.catalogue.offer("flows/demo", Offer())
    create = nursery.store.create

    async def broken(*args: Any, **more: Any) -> Any:
        if is_born:
            await create(*args, **more)
        raise error("in between")

    monkeypatch.setattr(nursery.store, "create", broken)

    with pytest.raises(error):
        await nursery.bear(launch(), sent=await nursery.send("a.txt"))

    found = await nursery.files.find(OWNER, launch().job_id)
    assert (["in/a.txt"] if is_born else []) == [file.path for file in found]


def test_an_input_hash_is_the_buyers() -> None:
    """MIP-004: the nonce, a semicolon, and RFC 8785."""
    assert hashlib.sha256(b'n;{"a":1,"b":"\xc3\xa9"}').hexdigest() == input_hash("n", {"b": "é", "a": 1.0})
    with pytest.raises(Invalid):
        input_hash("n", {"a": 2**60})


async def test_an_owner_has_a_share(nursery: Nursery) -> None:
    """Past it nothing is born of a launch, and the error names the limit and what to do; ended jobs count no more."""
    nursery.catalogue.offer("flows/demo", Offer())
    await nursery.bear(launch(1), launch(2))

    with pytest.raises(
        Exhausted, match="may have 3 jobs that have not ended: wait until some have, or cancel"
    ) as caught:
        await nursery.bear(launch(3), launch(4))
    await nursery.bear(launch(3))
    await nursery.store.delete(f"{1:024x}", 0.0)
    (job,) = await nursery.bear(launch(4))

    assert "3" == caught.value.metadata["limit"]
    assert caught.value.retry_after_s >= 1
    assert 3 == len(await nursery.store.open_jobs())
    assert job == await nursery.store.get(f"{4:024x}")
