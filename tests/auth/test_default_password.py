"""The password that everybody knows: called out until it is changed, and of no use once others reach the mesh."""

import pathlib
from typing import Any

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb

from tests.auth.helpers import auth_mesh, bearer

DEADLINE_S = 30
ANOTHER = "a password of one's own"


async def test_it_is_called_out_until_it_is_changed(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To who has it; and in the log of each start, which `up` shows."""
    async with auth_mesh(tmp_path, memory=False) as mesh:
        tokens = await mesh.sign_in()
        before = (await mesh.me(bearer(tokens))).default_password
        change = pb.ChangePasswordRequest(old_password="admin", new_password=ANOTHER)
        changed = await mesh.auth.ChangePassword(change, metadata=bearer(tokens), timeout=DEADLINE_S)
        after = (await mesh.me(bearer(changed))).default_password
        back = pb.ChangePasswordRequest(old_password=ANOTHER, new_password="admin")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await mesh.auth.ChangePassword(back, metadata=bearer(changed), timeout=DEADLINE_S)
    first = "".join(capsys.readouterr())
    async with auth_mesh(tmp_path, memory=False) as mesh:
        again = (await mesh.me(bearer(await mesh.sign_in("admin", ANOTHER)))).default_password
    second = "".join(capsys.readouterr())

    assert [True, False, False] == [before, after, again]
    assert "has the default password" in first
    assert "has the default password" not in second
    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()


async def test_nobody_has_it_once_others_reach_the_mesh(tmp_path: pathlib.Path) -> None:
    """An account that was called otherwise meanwhile neither."""
    async with auth_mesh(tmp_path, memory=False) as mesh:
        tokens = await mesh.sign_in()
        renamed = pb.UpdateUserRequest(user=pb.User(name=tokens.user.name, login="root"))
        await mesh.users.UpdateUser(renamed, metadata=bearer(tokens), timeout=DEADLINE_S)
    told: dict[str, Any] = {"public_url": "https://mesh.example.com", "admin_password": ANOTHER}
    async with auth_mesh(tmp_path, memory=False, **told) as mesh:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await mesh.sign_in("root", "admin")

    assert grpc.StatusCode.UNAUTHENTICATED == refused.value.code()
