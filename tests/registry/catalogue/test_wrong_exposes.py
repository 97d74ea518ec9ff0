"""What cannot be an expose, and which field is said to be wrong."""

import contextlib
import sqlite3

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb

from tests.registry.catalogue.refusals import fields
from tests.registry.conftest import Mesh, Peers


@pytest.mark.parametrize("name", ["-x", "_x", "a b", "a/b", "ä", "a.b", "x" * 101, " ", "a\n"])
async def test_names_that_cannot_be(mesh: Mesh, name: str) -> None:
    """A bad name is INVALID_ARGUMENT and the field is named.  (Trailing white space is trimmed, so `a\\n` is fine.)"""
    if name == "a\n":
        assert (await mesh.save(name)).name == "exposes/a"
        return
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.save(name)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert fields(caught.value) == ["expose.name"]


async def test_a_name_needs_its_collection(mesh: Mesh) -> None:
    """`exposes/` alone, or another collection, is INVALID_ARGUMENT."""
    for name in ("", "exposes/", "flows/x"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.exposes.GetExpose(pb.GetExposeRequest(name=name), metadata=mesh.operator)

        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("bootstrap", "where"),
    [
        ("import_path: a:b\nruntime_env: [", "line 2, column 15"),
        ("a: b: c", "line 1, column 5"),
        ("x: 1\n\ty: 2", "line 2, column 1"),
        ("x: !!python/object:os.system {}", "line 1, column 4"),
        ("a: *nobody", "line 1, column 4"),
        ("fine: yes\nbad: \x07", "line 2, column 6"),
        ("x: 2024-13-45", "month must be in 1..12"),
        ("[" * 5000, "nested too deeply"),
        ("x" * 65_537, "too long"),
        ("import_path: x", "line 1, column 1: import_path 'x' must look like package.module:attribute"),
    ],
)
async def test_a_bootstrap_must_be_yaml_of_an_app(mesh: Mesh, bootstrap: str, where: str) -> None:
    """What cannot be read is refused, with the field and the place in the text."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.save("x", bootstrap)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert where in (caught.value.details() or "")
    assert fields(caught.value) == ["expose.bootstrap"]


async def test_a_key_of_before_is_no_hindrance(peers: Peers) -> None:
    """What was saved before such was judged can be disabled and renamed as it is; another text is judged."""
    known = "import_path: a:b\nruntime_env: {env_vars: {KEY: canary}}\n"
    async with peers.registry() as mesh:
        await mesh.save("x", known)
    with contextlib.closing(sqlite3.connect(peers.config.data_dir / "registry.db")) as database, database:
        changed = "replace(bootstrap, 'a:b', 'nothing') || 'pipp: []'"
        database.execute(f"UPDATE exposes SET bootstrap = {changed}")
    async with peers.registry() as mesh:
        kept = (await mesh.get("x")).bootstrap
        off = await mesh.save("x", kept, enabled=False)
        renamed = await mesh.save("y", kept.replace("••••", "another"), original_name="exposes/x")
        refused = []
        for name, text in ("y", f"{kept}\n# more"), ("z", f"{known}pipp: []"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await mesh.save(name, text)
            refused += fields(caught.value)

    assert "import_path: nothing" in kept
    assert "pipp: []" in kept
    assert (False, kept, kept) == (off.enabled, off.bootstrap, renamed.bootstrap)
    assert ["expose.bootstrap"] * 3 == refused


async def test_meta_data_must_be_yaml(mesh: Mesh) -> None:
    """The entry is named by its place and its url."""
    meta = [pb.FlowMeta(url="/x/", data="display: fine"), pb.FlowMeta(url="/x/run", data="display: [broken")]

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.save("x", "import_path: a:b", meta=meta)

    assert fields(caught.value) == ["expose.meta[1].data"]
    assert "/x/run" in (caught.value.details() or "")
    assert "line 1, column" in (caught.value.details() or "")


@pytest.mark.parametrize(
    ("meta", "field"),
    [
        ([pb.FlowMeta(url="")], "expose.meta[0].url"),
        ([pb.FlowMeta(url="/x/a"), pb.FlowMeta(url="/x/a/")], "expose.meta[1].url"),
        ([pb.FlowMeta(url=f"/x/{number}") for number in range(2001)], "expose.meta"),
    ],
)
async def test_meta_urls_are_there_and_differ(mesh: Mesh, meta: list[pb.FlowMeta], field: str) -> None:
    """A missing or repeated url is refused; a trailing slash makes no difference."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.save("x", "import_path: a:b", meta=meta)

    assert fields(caught.value) == [field]


async def test_networks_are_known(mesh: Mesh) -> None:
    """Only Preprod and Mainnet are networks."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.save("x", network="Moonnet")

    assert fields(caught.value) == ["expose.network"]


async def test_what_is_only_checked_is_judged_as_a_boot_would_and_not_kept(mesh: Mesh) -> None:
    """A bootstrap that is YAML and no app is refused; one that can be deployed is answered, and nothing is written."""
    wanted = pb.Expose(name="exposes/tried", enabled=True, bootstrap="runtime_env: {}")
    request = pb.SaveExposeRequest(expose=wanted, validate_only=True)
    with pytest.raises(grpc.aio.AioRpcError, match="import_path"):
        await mesh.exposes.SaveExpose(request, metadata=mesh.operator, timeout=30)
    request.expose.bootstrap = "import_path: a:b"
    answer = await mesh.exposes.SaveExpose(request, metadata=mesh.operator, timeout=30)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.get("tried")

    assert "import_path: a:b" == answer.bootstrap
    assert grpc.StatusCode.NOT_FOUND is caught.value.code()


async def test_a_check_says_of_an_expose_that_is_kept_what_a_save_would(mesh: Mesh) -> None:
    """That its etag is old, and that a mask stands for the value that is kept."""
    kept = await mesh.save("x", "import_path: a:b\nruntime_env: {env_vars: {KEY: secret-value}}")
    request = pb.SaveExposeRequest(expose=kept, validate_only=True)
    answer = await mesh.exposes.SaveExpose(request, metadata=mesh.operator, timeout=30)
    request.expose.etag = "1.0"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.exposes.SaveExpose(request, metadata=mesh.operator, timeout=30)

    assert "secret-value" not in answer.bootstrap
    assert (await mesh.get("x")).etag == kept.etag
    assert grpc.StatusCode.ABORTED is caught.value.code()
