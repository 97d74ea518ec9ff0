"""Exposes: saving, renaming, reading, deleting, and who may."""

import asyncio
import datetime

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.runner.v1 import app_pb2

from meshkit import identity
from tests.registry.catalogue.refusals import fields
from tests.registry.conftest import Mesh, Peers
from tests.registry.watching import watching


async def test_a_new_expose_is_as_in_the_seed(mesh: Mesh) -> None:
    """Enabled, dead, without meta, and with an etag that is its time of saving in seconds."""
    expose = await mesh.save("jkx", "import_path: tests.test_unwrap:fast_app2")
    updated = expose.update_time.ToDatetime(datetime.UTC)

    assert expose.name == "exposes/jkx"
    assert (expose.enabled, expose.state, expose.has_meta) == (True, pb.EXPOSE_STATE_DEAD, False)
    assert not expose.HasField("display_name")
    assert not expose.HasField("network")
    assert expose.create_time == expose.update_time
    assert expose.HasField("heartbeat_time")
    assert float(expose.etag) == updated.timestamp()
    assert (expose.alive_count, expose.flow_count, expose.stale) == (0, 0, False)


async def test_an_update_replaces_everything_but_the_creation_time(mesh: Mesh) -> None:
    """What a save leaves out is gone; the creation time stays, the etag changes."""
    first = await mesh.save("x", "import_path: a:b", display_name="X", network="Preprod", meta=[])
    second = await mesh.save("x", "import_path: c:d")

    assert (first.display_name, first.network, first.has_meta) == ("X", "Preprod", True)
    assert not second.HasField("display_name")
    assert not second.HasField("network")
    assert not second.has_meta
    assert second.bootstrap == "import_path: c:d"
    assert second.create_time == first.create_time
    assert second.etag != first.etag


async def test_an_expose_without_bootstrap_is_a_draft(mesh: Mesh) -> None:
    """A draft never needs a reboot."""
    expose = await mesh.save("idea", " \n")

    assert expose.state == pb.EXPOSE_STATE_DRAFT
    assert not expose.needs_reboot


@pytest.mark.parametrize("given", ["Prime", "  prime ", "PRIME"])
async def test_names_are_trimmed_and_lower_case(mesh: Mesh, given: str) -> None:
    """However it is typed, it is one expose."""
    await mesh.save(given, "import_path: a:b")

    assert (await mesh.get("prime")).name == "exposes/prime"


async def test_an_old_etag_is_refused(mesh: Mesh) -> None:
    """Of two people who edit the same version, the second gets ABORTED in the words of the panel."""
    first = await mesh.save("x", "import_path: a:b")
    await mesh.save("x", "import_path: c:d", etag=first.etag)

    with pytest.raises(grpc.aio.AioRpcError) as late:
        await mesh.save("x", "import_path: e:f", etag=first.etag)
    await mesh.delete("x")
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await mesh.save("x", "import_path: e:f", etag=first.etag)

    assert late.value.code() == grpc.StatusCode.ABORTED
    assert "saved by somebody else" in (late.value.details() or "")
    assert gone.value.code() == grpc.StatusCode.ABORTED


async def test_a_save_may_be_sent_twice(mesh: Mesh) -> None:
    """With the same id the first answer comes again, whatever has been saved since, and nothing is saved."""
    first = await mesh.save("x", "import_path: a:b", request_id="one")
    await mesh.save("x", "import_path: c:d")

    again = await mesh.save("x", "import_path: a:b", request_id="one")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.save("x", "import_path: e:f", request_id="one")

    assert (again.bootstrap, again.etag, again.update_time) == (first.bootstrap, first.etag, first.update_time)
    assert (await mesh.get("x")).bootstrap == "import_path: c:d"
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert fields(caught.value) == ["request_id"]


async def test_a_rename_may_be_sent_twice(mesh: Mesh) -> None:
    """The second finds its own answer, not that the old name is gone."""
    old = await mesh.save("old", "import_path: a:b")

    once, twice = [
        await mesh.save("new", "import_path: a:b", original_name="exposes/old", etag=old.etag, request_id="one")
        for _ in range(2)
    ]

    assert (once.name, once.etag) == (twice.name, twice.etag) == ("exposes/new", once.etag)


async def test_of_many_saves_with_one_etag_one_wins(mesh: Mesh) -> None:
    """The check and the write are one step."""
    first = await mesh.save("x", "import_path: a:b")

    attempts = [mesh.save("x", f"import_path: a:b{number}", etag=first.etag) for number in range(20)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    losses = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]

    assert [loss.code() for loss in losses] == [grpc.StatusCode.ABORTED] * 19


async def test_a_rename_keeps_history_and_texts(mesh: Mesh) -> None:
    """The creation time stays, the urls of the meta follow, and the old name is free."""
    meta = [pb.FlowMeta(url="/old/", data="display: Root"), pb.FlowMeta(url="/old/run", data="display: Run")]
    before = await mesh.save("old", "import_path: shop:app", meta=meta)

    after = await mesh.save("new", "import_path: shop:app", meta=meta, original_name="exposes/old", etag=before.etag)
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await mesh.get("old")

    assert after.create_time == before.create_time
    assert [entry.url for entry in after.meta] == ["/new/", "/new/run"]
    assert gone.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_rename_takes_no_name_away(mesh: Mesh) -> None:
    """ALREADY_EXISTS if the name is taken, NOT_FOUND if there is nothing to rename; nothing has changed then."""
    await mesh.save("a", "import_path: a:a")
    await mesh.save("b", "import_path: b:b")

    with pytest.raises(grpc.aio.AioRpcError) as taken:
        await mesh.save("b", "import_path: a:a", original_name="exposes/a")
    with pytest.raises(grpc.aio.AioRpcError) as nothing:
        await mesh.save("c", "import_path: a:a", original_name="exposes/nobody")

    assert taken.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert nothing.value.code() == grpc.StatusCode.NOT_FOUND
    assert (await mesh.get("a")).bootstrap == "import_path: a:a"
    assert (await mesh.get("b")).bootstrap == "import_path: b:b"


async def test_a_rename_to_itself_is_an_update(mesh: Mesh) -> None:
    """The panel always sends the original name."""
    await mesh.save("a", "import_path: a:a")

    assert (await mesh.save("a", "import_path: b:b", original_name="exposes/a")).bootstrap == "import_path: b:b"


async def test_deleting(mesh: Mesh) -> None:
    """What is deleted is gone, and cannot be deleted again; its app runs on."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()

    await mesh.delete("shop")
    with pytest.raises(grpc.aio.AioRpcError) as again:
        await mesh.delete("shop")

    assert again.value.code() == grpc.StatusCode.NOT_FOUND
    assert again.value.details() == "Expose 'shop' not found"
    assert "apps/shop" in mesh.runner.apps
    assert not (await mesh.list_flows()).flows


async def test_exposes_are_listed_by_name_in_pages(mesh: Mesh) -> None:
    """Pages join without gap or repetition; a token of another list is refused."""
    for name in ("c", "a", "b", "a-1"):
        await mesh.save(name)

    first = await mesh.exposes.ListExposes(pb.ListExposesRequest(page_size=3), metadata=mesh.operator)
    request = pb.ListExposesRequest(page_size=3, page_token=first.next_page_token)
    second = await mesh.exposes.ListExposes(request, metadata=mesh.operator)
    bad = {"page_size": -1}, {"page_token": "nonsense"}
    for arguments in bad:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.exposes.ListExposes(pb.ListExposesRequest(**arguments), metadata=mesh.operator)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    assert [expose.name for expose in first.exposes] == ["exposes/a", "exposes/a-1", "exposes/b"]
    assert [expose.name for expose in second.exposes] == ["exposes/c"]
    assert second.next_page_token == ""


async def test_exposes_survive_a_restart(peers: Peers) -> None:
    """A saved expose, and what its boot found, are there after the registry restarts."""
    async with peers.registry() as mesh:
        await mesh.save("shop", "import_path: shop:app", network="Mainnet")
        await mesh.boot()
        before = await mesh.get("shop")
    async with peers.registry() as mesh:
        after = await mesh.get("shop")
        flows = (await mesh.list_flows()).flows

    after.heartbeat_time.CopyFrom(before.heartbeat_time)
    assert after == before
    assert [flow.name for flow in flows] == ["flows/shop/async", "flows/shop"]


async def test_the_state_is_the_runners(mesh: Mesh) -> None:
    """An app that loses its host after its boot is shown as that, and its flows are not offered."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    async with watching(mesh) as watcher:
        await watcher.until("flows/shop", alive=True)
        await mesh.runner.change("apps/shop", app_pb2.APP_STATE_UNHEALTHY, "lost its host")
        await watcher.until("flows/shop", alive=False)
    expose = await mesh.get("shop")
    flows = (await mesh.list_flows()).flows

    assert (expose.state, expose.message) == (pb.EXPOSE_STATE_UNHEALTHY, "lost its host")
    assert (expose.alive_count, expose.stale, expose.needs_reboot) == (0, True, True)
    assert not flows


async def test_a_runner_that_is_away_is_no_error(peers: Peers) -> None:
    """Exposes are readable without a runner: what was booted is unhealthy, the rest dead; a boot says why it fails."""
    async with peers.registry() as mesh:
        await mesh.save("shop", "import_path: shop:app")
        await mesh.boot()
        await mesh.save("later", "import_path: shop:app")
    peers.config = peers.config.model_copy(update={"runner_address": "127.0.0.1:1", "runner_patience_s": 0.1})
    async with peers.registry() as mesh:
        shop, later = await mesh.get("shop"), await mesh.get("later")
        flows = (await mesh.list_flows()).flows
        boot = await mesh.boot()

    assert (shop.state, later.state) == (pb.EXPOSE_STATE_UNHEALTHY, pb.EXPOSE_STATE_DEAD)
    assert shop.message == "the runner does not answer"
    assert not flows
    assert boot[-1].kind == pb.BootEvent.KIND_ERROR
    assert "the runner does not answer" in boot[-1].boot_failed.message


async def test_a_save_since_the_boot_needs_a_reboot(mesh: Mesh) -> None:
    """Saving marks a running expose until the next boot or refresh; its app runs on meanwhile."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()

    saved = await mesh.save("shop", "import_path: shop:app", display_name="Shop")
    await mesh.refresh("shop")
    refreshed = await mesh.get("shop")

    assert (saved.state, saved.needs_reboot) == (pb.EXPOSE_STATE_RUNNING, True)
    assert not refreshed.needs_reboot


@pytest.mark.parametrize(
    ("token", "code"),
    [("user", grpc.StatusCode.PERMISSION_DENIED), ("", grpc.StatusCode.UNAUTHENTICATED)],
)
async def test_operators_only(mesh: Mesh, token: str, code: grpc.StatusCode) -> None:
    """Exposes and boots are for operators; flows are for every user, but for nobody without a token."""
    metadata = mesh.user if token else ()
    calls = [
        mesh.exposes.ListExposes(pb.ListExposesRequest(), metadata=metadata),
        mesh.exposes.SaveExpose(pb.SaveExposeRequest(expose=pb.Expose(name="exposes/x")), metadata=metadata),
        mesh.exposes.DeleteExpose(pb.DeleteExposeRequest(name="exposes/x"), metadata=metadata),
        mesh.boots.GetBoot(pb.GetBootRequest(), metadata=metadata),
        mesh.boots.StartBoot(pb.StartBootRequest(), metadata=metadata).read(),
        mesh.boots.StopApps(pb.StopAppsRequest(), metadata=metadata).read(),
    ]
    if not token:
        calls.append(mesh.flows.ListFlows(pb.ListFlowsRequest(), metadata=metadata))
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == code


async def test_services_of_the_mesh_may_too(mesh: Mesh) -> None:
    """A peer without a user acts for the mesh itself."""
    badge = identity.sign(mesh.config.secret, "service:gateway", "registry")

    answer = await mesh.exposes.ListExposes(pb.ListExposesRequest(), metadata=(("x-mesh-service", badge),))

    assert not answer.exposes
