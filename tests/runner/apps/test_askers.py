"""Who asks an app, and by which address: what only services of the mesh may say."""

import pathlib

from agentmesh_protos.runner.v1 import app_pb2

from tests.runner.stack import DEADLINE_S, stack


async def test_a_user_does_not_say_who_asks(tmp_path: pathlib.Path) -> None:
    """An app that trusts an address, or links to one, is not led astray."""
    forged = app_pb2.CallAppRequest(
        name="apps/asked", method="GET", path="/", client="203.0.113.9", base_url="https://elsewhere.example"
    )

    async with stack(tmp_path) as mesh:
        await mesh.deploy("asked", "tests.runner.samples.asked:app")
        answer = await mesh.apps.CallApp(forged, metadata=mesh.operator, timeout=DEADLINE_S)

    assert b" at " in answer.body
    assert b"203.0.113.9" not in answer.body
    assert b"elsewhere" not in answer.body
