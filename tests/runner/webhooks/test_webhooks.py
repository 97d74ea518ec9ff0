"""Webhooks on a real runner: what is sent, signed, sent again, and refused."""

import contextlib
import pathlib
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
import standardwebhooks
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.runner.v1 import job_pb2, webhook_pb2
from google.protobuf import field_mask_pb2

from meshkit.net import outgoing
from meshkit.net.addresses import Refused
from tests.runner.clocks import Clock
from tests.runner.schedules.test_schedules import until
from tests.runner.stack import DEADLINE_S, Stack, stack
from tests.runner.webhooks.receiving import Receiver, receiving

DELIVERED = webhook_pb2.DELIVERY_STATE_DELIVERED
PENDING = webhook_pb2.DELIVERY_STATE_PENDING
FAILED = webhook_pb2.DELIVERY_STATE_FAILED


class Hooks:
    """A mesh with an app, and a clock that can be put forward."""

    def __init__(self, mesh: Stack, clock: Clock) -> None:
        self.mesh = mesh
        self.clock = clock

    async def call(self, name: str, request: Any) -> Any:
        """Call a method of the service as the operator."""
        method = getattr(self.mesh.webhooks, name)
        return await method(request, metadata=self.mesh.operator, timeout=DEADLINE_S)

    @contextlib.asynccontextmanager
    async def created(self, url: str, **fields: Any) -> AsyncIterator[webhook_pb2.Webhook]:
        """Have a webhook for the length of the block: it is told of nothing that began before."""
        await self._settle()
        request = webhook_pb2.CreateWebhookRequest(webhook=webhook_pb2.Webhook(url=url, **fields))
        made = await self.call("CreateWebhook", request)
        try:
            yield made
        finally:
            await self.call("DeleteWebhook", webhook_pb2.DeleteWebhookRequest(name=made.name))

    async def _settle(self) -> None:
        """Wait until every job has ended."""
        jobs = await self.mesh.jobs.ListJobs(job_pb2.ListJobsRequest(), metadata=self.mesh.operator, timeout=DEADLINE_S)
        for job in jobs.jobs:
            await self.mesh.events(job)

    async def deliveries(self, made: webhook_pb2.Webhook) -> list[webhook_pb2.Delivery]:
        """Return what was and is to be sent, the oldest first."""
        found = await self.call("ListDeliveries", webhook_pb2.ListDeliveriesRequest(parent=made.name))
        return list(found.deliveries)[::-1]

    async def get(self, made: webhook_pb2.Webhook) -> webhook_pb2.Webhook:
        """Look at a webhook."""
        found: webhook_pb2.Webhook = await self.call("GetWebhook", webhook_pb2.GetWebhookRequest(name=made.name))
        return found


@contextlib.asynccontextmanager
async def hooking(folder: pathlib.Path, **config: Any) -> AsyncIterator[Hooks]:
    """Run a mesh that may call this machine."""
    clock = Clock()
    async with stack(folder, now=clock, **{"webhooks_private_endpoints": "allow", **config}) as mesh:
        await mesh.deploy()
        yield Hooks(mesh, clock)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hooks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hooks]:
    """Yield one mesh for the tests of this file."""
    async with hooking(tmp_path_factory.mktemp("webhooks")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def address() -> AsyncIterator[Receiver]:
    """Yield an address."""
    async with receiving() as receiver:
        yield receiver


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_job_is_told_from_its_birth_to_its_end(hooks: Hooks, address: Receiver) -> None:
    """Each request is signed and has an id of its own; the log says what was answered."""
    async with hooks.created(address.url) as made:
        job = await hooks.mesh.create(events=1)
        received = await address.until(3)

        assert {"job.created", "job.started", "job.succeeded"} == {each.kind for each in received}
        for each in received:
            each.verify(made.secret)
            assert f'"job":"{job.name}"' in each.body
        assert 3 == len({each.headers["webhook-id"] for each in received})
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            received[0].verify("whsec_" + "QUJD" * 8)
        log = await until(lambda: hooks.deliveries(made), lambda found: all(d.state == DELIVERED for d in found))
        assert [(200, "thanks", 1)] * 3 == [(each.status_code, each.answer, each.attempt_count) for each in log]
        assert "" == (await hooks.get(made)).secret


async def test_only_what_was_asked_for_is_told(hooks: Hooks, address: Receiver) -> None:
    """By kind, a whole family of them, and by target."""
    async with (
        hooks.created(f"{address.url}/failed", kinds=["job.failed", "lock.*"]),
        hooks.created(f"{address.url}/others", targets=["flows/other"]),
        hooks.created(f"{address.url}/off", enabled=False),
    ):
        await hooks.mesh.create(end="raise")
        received = await address.until(1)

        assert ["job.failed"] == [each.kind for each in received]
        assert "ValueError: boom" in received[0].body


async def test_what_waits_for_a_disabled_webhook_is_not_sent(hooks: Hooks, address: Receiver) -> None:
    """However it has come to wait: it fails when it is its turn."""
    async with hooks.created(address.url, kinds=["job.created"]) as made:
        await hooks.mesh.create()
        await until(lambda: hooks.deliveries(made), lambda found: [d.state for d in found] == [DELIVERED])
        off = webhook_pb2.Webhook(name=made.name, enabled=False)
        mask = field_mask_pb2.FieldMask(paths=["enabled"])
        await hooks.call("UpdateWebhook", webhook_pb2.UpdateWebhookRequest(webhook=off, update_mask=mask))
        with contextlib.closing(sqlite3.connect(hooks.mesh.folder / "runner.db")) as connection, connection:
            given = ("pending", made.name.partition("/")[2])
            connection.execute("UPDATE deliveries SET state = ?, next_at = 1 WHERE webhook_id = ?", given)

        await until(lambda: hooks.deliveries(made), lambda found: [d.state for d in found] == [FAILED])

        assert 1 == len(address.received)


async def test_what_is_not_taken_is_sent_again(hooks: Hooks, address: Receiver) -> None:
    """With the same id, after a while; redirects are not followed, and are no success."""
    address.answers = ["500 Oops\r\n\r\nno", f"302 Found\r\nlocation: {address.url}/elsewhere\r\n\r\n"]
    async with hooks.created(address.url, kinds=["job.failed"]) as made:
        await hooks.mesh.create(end="raise")

        for count, why in ((1, "answered 500"), (2, "redirects are not followed")):
            await address.until(count)

            def was_sent(found: list[webhook_pb2.Delivery], count: int = count) -> bool:
                return found[0].attempt_count == count

            (log,) = await until(lambda: hooks.deliveries(made), was_sent)
            assert (PENDING, True) == (log.state, why in log.error)
            hooks.clock.skip_to(log.next_attempt_time.seconds + 1)
            await hooks.mesh.create()  # whatever happens has the sender look
        (first, *_) = await until(lambda: hooks.deliveries(made), lambda found: found[0].state == DELIVERED)

        assert 3 == first.attempt_count
        ids = [each.headers["webhook-id"] for each in address.received]
        assert 3 == ids.count(first.name.rpartition("/")[2])
        assert not (await hooks.get(made)).HasField("failing_since_time")


async def test_a_slow_address_keeps_nobody_waiting(hooks: Hooks, address: Receiver) -> None:
    """Others hear while it says nothing."""
    async with receiving() as slow, hooks.created(slow.url), hooks.created(address.url):
        slow.silent.clear()
        await hooks.mesh.create()
        await slow.until(1)
        await address.until(3)

        await hooks.mesh.create()
        await address.until(6)


async def test_a_webhook_that_fails_for_long_is_disabled(hooks: Hooks, address: Receiver) -> None:
    """It says why, is told nothing more, and is given another chance when somebody says so."""
    address.answers = ["410 Gone\r\n\r\n"]
    async with hooks.created(address.url, kinds=["job.created"]) as made:
        await hooks.mesh.create()
        disabled = await until(lambda: hooks.get(made), lambda found: not found.enabled)
        assert "410" in disabled.message
        (log,) = await hooks.deliveries(made)
        assert FAILED == log.state
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await hooks.call("Redeliver", webhook_pb2.RedeliverRequest(name=log.name))
        assert grpc.StatusCode.FAILED_PRECONDITION is caught.value.code()

        again = webhook_pb2.Webhook(name=made.name, enabled=True)
        enabled = await hooks.call("UpdateWebhook", webhook_pb2.UpdateWebhookRequest(webhook=again))
        await hooks.call("Redeliver", webhook_pb2.RedeliverRequest(name=log.name))
        await until(lambda: hooks.deliveries(made), lambda found: found[0].state == DELIVERED)

        assert (True, "") == (enabled.enabled, enabled.message)
        assert 1 == len({each.headers["webhook-id"] for each in address.received})


async def test_a_new_secret_signs_beside_the_old_one(hooks: Hooks, address: Receiver) -> None:
    """For a day; who has read neither can forge nothing, and no table has them."""
    async with hooks.created(address.url) as made:
        rotated = await hooks.call("RotateWebhookSecret", webhook_pb2.RotateWebhookSecretRequest(name=made.name))
        log = await hooks.call("TestWebhook", webhook_pb2.TestWebhookRequest(name=made.name))

        assert (DELIVERED, "webhook.test") == (log.state, log.kind)
        assert made.secret != rotated.secret
        for secret in (made.secret, rotated.secret):
            address.received[0].verify(secret)
        kept = b"".join(path.read_bytes() for path in hooks.mesh.folder.glob("runner.db*"))
        assert not [secret for secret in (made.secret, rotated.secret) if secret.encode() in kept]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("url", {"url": "ftp://example.com"}),
        ("url", {"url": "https://user:password@example.com"}),
        ("kinds", {"kinds": ["job.exploded"]}),
        ("targets", {"targets": [""]}),
        ("secret", {"secret": "whsec_c2hvcnQ="}),
    ],
)
async def test_what_cannot_be_kept_is_refused(hooks: Hooks, field: str, fields: dict[str, Any]) -> None:
    """The field is named."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with hooks.created(fields.pop("url", "https://example.com"), **fields):
            pass

    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
    assert field in str(caught.value.trailing_metadata())


async def test_an_owner_who_is_gone_is_told_nothing(hooks: Hooks, address: Receiver) -> None:
    """The webhook is disabled when something would be sent."""
    who = await hooks.mesh.user("hooked")
    request = webhook_pb2.CreateWebhookRequest(webhook=webhook_pb2.Webhook(url=address.url))
    made = await hooks.mesh.webhooks.CreateWebhook(request, metadata=who, timeout=DEADLINE_S)
    mask = field_mask_pb2.FieldMask(paths=["active"])
    gone = auth_pb2.UpdateUserRequest(user=auth_pb2.User(name=made.owner, active=False), update_mask=mask)
    await hooks.mesh.users.UpdateUser(gone, metadata=hooks.mesh.operator, timeout=DEADLINE_S)
    with contextlib.closing(sqlite3.connect(hooks.mesh.folder / "runner.db")) as connection, connection:
        webhook_id = made.name.removeprefix("webhooks/")
        connection.execute(
            "INSERT INTO deliveries VALUES "
            "('msg_0', ?, ?, 'job.created', '', 'pending', '{}', 0, 0, 0, '', '', 1, 0, 1, 9e9, '')",
            (webhook_id, made.owner),
        )
    await hooks.mesh.create()  # whatever happens has the sender look

    disabled = await until(lambda: hooks.get(made), lambda found: not found.enabled)

    assert "owner" in disabled.message
    assert [] == address.received


@pytest.mark.asyncio
async def test_what_was_to_be_told_outlives_a_restart(tmp_path: pathlib.Path) -> None:
    """It is written with what has happened, and sent by whoever comes next."""
    async with receiving() as address:
        async with hooking(tmp_path) as before:
            address.answers = ["503 Later\r\n\r\n"] * 100  # on a slow machine one is sent again before the last is
            request = webhook_pb2.CreateWebhookRequest(webhook=webhook_pb2.Webhook(url=address.url))
            made = await before.call("CreateWebhook", request)
            await before.mesh.events(await before.mesh.create(events=1))

            def all_were_sent(found: list[webhook_pb2.Delivery]) -> bool:
                return 3 == len(found) and all(each.attempt_count for each in found)

            await until(lambda: before.deliveries(made), all_were_sent)
        address.answers.clear()
        with contextlib.closing(sqlite3.connect(tmp_path / "runner.db")) as connection, connection:
            connection.execute("UPDATE deliveries SET next_at = 1")  # the time comes

        async with hooking(tmp_path) as after:
            log = await until(lambda: after.deliveries(made), lambda found: all(d.state == DELIVERED for d in found))

            assert ["job.created", "job.started", "job.succeeded"] == sorted(each.kind for each in log)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_answer_is_neither_inflated_nor_remembered(hooks: Hooks, address: Receiver) -> None:
    """What it says about itself is not believed, and a cookie of it goes nowhere."""
    said = "set-cookie: s=1; path=/\r\ncontent-encoding: gzip, gzip\r\n\r\nno gzip at all"
    address.answers = [f"503 Later\r\n{said}", f"200 OK\r\n{said}"]
    async with hooks.created(address.url) as made:
        tests = [await hooks.call("TestWebhook", webhook_pb2.TestWebhookRequest(name=made.name)) for _ in range(2)]

    assert [503, 200] == [each.status_code for each in tests]
    assert ["no gzip at all"] * 2 == [each.answer for each in tests]
    assert [] == [each for each in address.received if "cookie" in each.headers]


@pytest.mark.asyncio
async def test_a_mesh_calls_nobody_on_its_own_machine(tmp_path: pathlib.Path) -> None:
    """Neither by address, when it is saved, nor by a name that leads there, when it is called."""
    async with receiving() as address, hooking(tmp_path, webhooks_private_endpoints="refuse") as closed:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with closed.created(address.url):
                pass
        assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
        assert [] == address.received


@pytest.mark.asyncio
async def test_a_name_is_pinned_to_the_address_that_was_checked() -> None:
    """What it resolves to a moment later does not matter."""
    found = [["127.0.0.1"], ["10.0.0.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return found.pop(0)

    private: Any = outgoing.Guard(httpx, private=True, resolve=resolve)
    public: Any = outgoing.Guard(httpx, private=False, resolve=resolve)
    async with receiving() as address, httpx.AsyncClient(transport=private) as http:
        port = address.url.rpartition(":")[2]
        assert 200 == (await http.post(f"http://rebound.example.com:{port}", content="{}")).status_code
        assert f"rebound.example.com:{port.partition('/')[0]}" == address.received[0].headers["host"]
    async with httpx.AsyncClient(transport=public) as http:
        with pytest.raises(Refused):
            await http.post("http://rebound.example.com", content="{}")
