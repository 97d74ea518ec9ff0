"""Payments over the wire, with a real auth service beside it."""

import contextlib
import pathlib
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from mesh.payments.v1 import payments_pb2 as pb
from mesh.payments.v1 import payments_pb2_grpc as pb_grpc

from meshkit.errors import AlreadyExists, Denied, Invalid, NotFound, Unauthenticated
from services.payments import app
from services.payments.config import Config
from tests.auth.helpers import AuthMesh, Metadata, auth_mesh, bearer, refused


class Mesh:
    """Stubs, and the tokens of the admin and two users."""

    def __init__(self, auth: AuthMesh, channel: grpc.aio.Channel) -> None:
        self.auth = auth
        self.payments = pb_grpc.PaymentServiceStub(channel)
        self.owners: dict[str, str] = {}
        self.tokens: dict[str, Metadata] = {}

    async def pay(self, number: int, owner: str, amount: str = "5") -> pb.Payment:
        """Record a payment for a job, as the runner does."""
        payment = pb.Payment(job=f"jobs/{number:024x}", owner=self.owners[owner], amount=amount, unit="lovelace")
        request = pb.CreatePaymentRequest(payment=payment)
        made: pb.Payment = await self.payments.CreatePayment(request, metadata=self.auth.badge, timeout=10)
        return made


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[Mesh]:
    """Auth and payments, as in production."""
    async with contextlib.AsyncExitStack() as stack:
        auth = await stack.enter_async_context(auth_mesh(tmp_path))
        config = Config(
            data_dir=tmp_path, auth_address=f"127.0.0.1:{auth.port}", payments_address="127.0.0.1:0", grace_s=0
        )
        port = await stack.enter_async_context(app.running(config))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        mesh = Mesh(auth, channel)
        mesh.tokens["admin"] = bearer(await auth.sign_in())
        for login in ("ada", "bob"):
            mesh.owners[login] = (await auth.add_user(login)).name
            mesh.tokens[login] = bearer(await auth.sign_in(login, "pw"))
        yield mesh


async def test_a_payment_is_recorded_once_for_a_job(mesh: Mesh) -> None:
    """The same again, from a retry, gives the same; another amount is refused."""
    made = await mesh.pay(1, "ada")

    assert (made.name, made.job) == (f"payments/{1:024x}", f"jobs/{1:024x}")
    assert (made.state, made.amount, made.unit) == (pb.PAYMENT_STATE_CREATED, "5", "lovelace")
    assert made == await mesh.pay(1, "ada")
    await refused(AlreadyExists, mesh.pay(1, "ada", "6"))


async def test_only_services_record_payments(mesh: Mesh) -> None:
    """Not even an operator."""
    for metadata in (mesh.tokens["ada"], mesh.tokens["admin"], ()):
        call = mesh.payments.CreatePayment(pb.CreatePaymentRequest(), metadata=metadata, timeout=5)
        await refused(Denied, call)


async def test_a_bad_payment_names_its_fields(mesh: Mesh) -> None:
    """All at once."""
    call = mesh.payments.CreatePayment(pb.CreatePaymentRequest(), metadata=mesh.auth.badge, timeout=5)
    error = await refused(Invalid, call)

    assert isinstance(error, Invalid)
    assert len(error.fields) == 4


async def test_a_payment_is_its_owners(mesh: Mesh) -> None:
    """Operators and services see it too; to other users it does not exist."""
    made = await mesh.pay(1, "ada")
    request = pb.GetPaymentRequest(name=made.name)
    for metadata in (mesh.tokens["ada"], mesh.tokens["admin"], mesh.auth.badge):
        assert made == await mesh.payments.GetPayment(request, metadata=metadata, timeout=5)
    for_bob = (*mesh.auth.badge, *mesh.tokens["bob"])
    for metadata in (mesh.tokens["bob"], for_bob):
        await refused(NotFound, mesh.payments.GetPayment(request, metadata=metadata, timeout=5))
    await refused(Unauthenticated, mesh.payments.GetPayment(request, timeout=5))


@pytest.mark.parametrize(("name", "kind"), [("payments/none", NotFound), ("", Invalid), ("jobs/1", Invalid)])
async def test_a_name_that_leads_nowhere(mesh: Mesh, name: str, kind: type[NotFound]) -> None:
    """Absent, or not a payment's name at all."""
    request = pb.GetPaymentRequest(name=name)
    await refused(kind, mesh.payments.GetPayment(request, metadata=mesh.tokens["ada"], timeout=5))


async def test_a_list_shows_what_one_may_see(mesh: Mesh) -> None:
    """Newest first, in pages; one's own, or all for an operator.  A page token is good for its own list only."""
    for number in range(5):
        await mesh.pay(number, "ada" if number % 2 else "bob")

    async def listed(who: str) -> tuple[list[str], str]:
        jobs, token, last = [], "", ""
        while True:
            request = pb.ListPaymentsRequest(page_size=2, page_token=token)
            page = await mesh.payments.ListPayments(request, metadata=mesh.tokens[who], timeout=5)
            jobs += [payment.job[-1] for payment in page.payments]
            last, token = token, page.next_page_token
            if not token:
                return jobs, last

    everything, token = await listed("admin")
    assert everything == ["4", "3", "2", "1", "0"]
    assert await listed("ada") == (["3", "1"], "")
    assert (await listed("bob"))[0] == ["4", "2", "0"]
    for bad in (pb.ListPaymentsRequest(page_token=token), pb.ListPaymentsRequest(page_size=-1)):
        await refused(Invalid, mesh.payments.ListPayments(bad, metadata=mesh.tokens["ada"], timeout=5))
