"""Two replicas of the payments service on one PostgreSQL: one follows a network, and either may be asked."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest_asyncio
from agentmesh_protos.payments.v1 import payments_pb2 as pb

from meshkit.databases import PostgresDatabase
from meshkit.postgres import Connection, Database
from services.payments.stores.postgres import MIGRATIONS
from tests.auth.helpers import AuthMesh
from tests.payments.escrows import Escrows
from tests.payments.stand import Stand, asked, standing

Pair = tuple[Stand, Stand]
NAME = f"payments/{1:024x}"


@contextlib.asynccontextmanager
async def another(folder: pathlib.Path, auth: AuthMesh, postgres: str, escrows: Escrows) -> AsyncIterator[Stand]:
    """Run a replica."""
    async with standing(folder, escrows, auth=auth, database_url=postgres, replicas=2) as stand:
        yield stand


@pytest_asyncio.fixture
async def pair(tmp_path: pathlib.Path, auth: AuthMesh, postgres: str) -> AsyncIterator[Pair]:
    """Two that start at the same time, with one provider."""
    escrows = Escrows()
    async with contextlib.AsyncExitStack() as stack:
        stands = (stack.enter_async_context(another(tmp_path, auth, postgres, escrows)) for _ in range(2))
        one, two = await asyncio.gather(*stands)
        yield one, two


async def create(stand: Stand, request_id: str = "") -> pb.Payment:
    """Create the payment of a job."""
    request = pb.CreatePaymentRequest(payment=asked(1, stand.owners["ada"]), request_id=request_id)
    made: pb.Payment = await stand.payments.CreatePayment(request, metadata=stand.badge, timeout=60)
    return made


async def test_a_payment_is_followed_wherever_it_was_asked_for(pair: Pair) -> None:
    """Made at both, there is one, and one escrow; each change is seen at both, and made at either."""
    one = pair[0]
    made = await asyncio.gather(*(create(stand, "one") for stand in pair for _ in range(3)))
    assert {NAME} == {payment.name for payment in made}
    requested = await one.until(NAME, lambda payment: bool(payment.blockchain_identifier))
    one.escrows.lock(requested.blockchain_identifier)
    await asyncio.gather(*(stand.until_state(NAME, "FUNDS_LOCKED") for stand in pair))

    await one.submit(NAME)
    await one.escrows.until_called("submit_result")
    one.escrows.confirm(requested.blockchain_identifier)
    await asyncio.gather(*(stand.until_state(NAME, "RESULT_SUBMITTED") for stand in pair))
    assert 1 == one.escrows.calls["request"] == len(one.escrows.rows)
    assert 1 == one.escrows.calls["submit_result"]


async def test_when_the_one_that_follows_ends_another_does(
    tmp_path: pathlib.Path, auth: AuthMesh, postgres: str
) -> None:
    """With what was begun at either."""
    escrows = Escrows()
    async with another(tmp_path, auth, postgres, escrows) as first:
        requested = await first.until((await create(first)).name, lambda payment: bool(payment.blockchain_identifier))
        waiting = another(tmp_path, auth, postgres, escrows)
        second = await waiting.__aenter__()
        assert requested == await second.get(NAME)
    try:
        escrows.lock(requested.blockchain_identifier)
        await second.until_state(NAME, "FUNDS_LOCKED")
        await second.submit(NAME)
        await escrows.until_called("submit_result")
    finally:
        await waiting.__aexit__(None, None, None)

    assert 1 == len(escrows.rows)


async def test_a_turn_that_is_not_given_back_ends_by_itself(
    tmp_path: pathlib.Path, auth: AuthMesh, postgres: str
) -> None:
    """As that of a replica that was killed, or stands still."""
    database = Database(PostgresDatabase(postgres), "payments", MIGRATIONS)
    await database.open(30.0)

    async def taken(connection: Connection) -> None:
        sql = "INSERT INTO turns VALUES ('trackers/Preprod', 'gone', clock_timestamp() + interval '3 seconds')"
        await connection.execute(sql)

    await database.write(taken)
    await database.close()
    async with another(tmp_path, auth, postgres, Escrows()) as stand:
        made = await create(stand)
        requested = await stand.until(made.name, lambda payment: bool(payment.blockchain_identifier))

    assert NAME == requested.name
