"""A host's badge is in the host's memory only: not in that of what runs the code of its app, nor of other apps."""

import json
import pathlib

from agentmesh_protos.runner.v1 import app_pb2

from tests.runner.samples.remembering import PLANTED
from tests.runner.stack import DEADLINE_S, stack

APP = "tests.runner.samples.remembering:app"


async def test_no_badge_is_in_what_runs_an_app(tmp_path: pathlib.Path) -> None:
    """A job's process, a worker and a handler, after other hosts were started by the same nursery."""
    async with stack(tmp_path) as mesh:
        await mesh.deploy("before", APP)
        await mesh.deploy("after", APP)
        found = {}
        for flow in ("process", "shared"):
            job = await mesh.create(f"flows/after/{flow}")
            (final,) = [event for event in await mesh.events(job) if event.kind == "final"]
            found[flow] = final.payload
        request = app_pb2.CallAppRequest(name="apps/after", method="GET", path="/handler")
        answer = await mesh.apps.CallApp(request, metadata=mesh.operator, timeout=DEADLINE_S)

    assert [PLANTED] == json.loads(answer.body)
    for payload in found.values():
        assert PLANTED in payload
        assert 1 == payload.count("host:")
        assert "service:" not in payload
