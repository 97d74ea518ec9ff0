"""Two replicas of the registry on one PostgreSQL keep the promises that one keeps."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb

from tests.registry.conftest import Mesh, Peers
from tests.registry.watching import watching

SHOP = "import_path: shop:app\n"
Pair = tuple[Mesh, Mesh]


@pytest.fixture
async def pair(peers: Peers, postgres: str) -> AsyncIterator[Pair]:
    """Two that start at the same time, on one database and one runner."""
    settings = peers.config.model_copy(update={"database_url": postgres, "replicas": 2})
    shared = dataclasses.replace(peers, config=settings)
    async with contextlib.AsyncExitStack() as stack:
        one, two = await asyncio.gather(*(stack.enter_async_context(shared.registry()) for _ in range(2)))
        two.operator, two.user = one.operator, one.user
        yield one, two


def version(expose: pb.Expose) -> tuple[str, str, str]:
    """Return what tells one save from another; where the app stands is as of the moment of the answer."""
    return expose.name, expose.etag, expose.bootstrap


async def test_what_one_saves_the_other_shows(pair: Pair) -> None:
    """At once, and to whom watches the catalogue soon."""
    one, two = pair
    saved = await one.save("shop", SHOP)
    assert version(saved) == version(await two.get("shop"))

    async with watching(two) as watcher:
        await one.boot()
        await watcher.until("flows/shop", True)
        await one.delete("shop")
        await watcher.until("flows/shop", None)


async def test_of_two_saves_at_two_replicas_each_is_seen(pair: Pair) -> None:
    """Of two who have read the same, one is told that the other was first."""
    saved = await pair[0].save("shop", SHOP)
    saves = (mesh.save("shop", SHOP, etag=saved.etag, display_name=name) for mesh, name in zip(pair, "ab", strict=True))
    outcomes = await asyncio.gather(*saves, return_exceptions=True)
    [refusal] = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]

    assert grpc.StatusCode.ABORTED is refusal.code()


async def test_a_request_that_is_sent_to_both_is_carried_out_once(pair: Pair) -> None:
    """However close together; both give the same answer."""
    one, two = pair
    answers = await asyncio.gather(*(mesh.save("shop", SHOP, request_id="one") for mesh in pair for _ in range(3)))
    await one.save("shop", SHOP, display_name="changed")

    assert {version(answers[0])} == {version(answer) for answer in answers}
    assert version(answers[0]) == version(await two.save("shop", SHOP, request_id="one"))
    assert "changed" == (await two.get("shop")).display_name


async def test_flows_are_listed_alike(pair: Pair) -> None:
    """By who booted them, and by who did not."""
    one, two = pair
    await one.save("shop", SHOP)
    await one.boot()
    async with watching(two) as watcher:
        await watcher.until("flows/shop", True)

    assert (await one.list_flows()).flows == (await two.list_flows()).flows
    assert pb.Flow() != await two.get_flow("flows/shop")
