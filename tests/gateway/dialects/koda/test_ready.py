"""Whether the runtime says truly that it takes tasks, and how many requests it takes."""

import asyncio
import pathlib

import pytest
from agentmesh_protos.runner.v1 import app_pb2

from tests.gateway import stack
from tests.gateway.dialects.koda.people import Koda
from tests.gateway.stage import Stage
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("path", ["/api/runtime/ready", "/api/runtime/readiness"])
async def test_a_runtime_without_workers_is_not_ready(stage: Stage, path: str) -> None:
    """503 with the reason and when to ask again; the process itself is alive."""
    answer = await stage.nobody.get(path)
    body = answer.json()

    assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
    assert ("not_ready", False, False) == (body["status"], body["ready"], body["accepting_tasks"])
    assert body["checks"]["auth"]["ok"]
    assert not body["checks"]["workers"]["ok"]
    assert "workers" in body["reason"]
    assert 200 == (await stage.nobody.get("/api/runtime/live")).status_code


async def test_it_is_ready_for_as_long_as_a_worker_takes_tasks(stage: Stage) -> None:
    """Not while the last one leaves or is lost, nor before the first has come."""
    states = [
        (app_pb2.APP_STATE_STARTING, 0, False),
        (app_pb2.APP_STATE_RUNNING, 1, True),
        (app_pb2.APP_STATE_RUNNING, 0, False),  # it drains: what runs goes on, and nothing new is taken
        (app_pb2.APP_STATE_OUTDATED, 2, True),
        (app_pb2.APP_STATE_UNHEALTHY, 0, False),
        (app_pb2.APP_STATE_RUNNING, 1, True),
        (app_pb2.APP_STATE_FAILED, 0, False),
    ]
    for state, ready_count, serves in states:
        stage.runner.placed = [app_pb2.App(name="apps/agents", state=state, ready_count=ready_count)]
        async with asyncio.timeout(stack.DEADLINE_S):
            while True:
                answer = await stage.nobody.get("/api/runtime/ready")
                body = answer.json()
                if serves == body["checks"]["workers"]["ok"]:
                    break
                await asyncio.sleep(0.1)  # between two tries: it is asked anew twice a second, and requests are counted
        assert (503 if body["reason"] else 200) == answer.status_code
        assert serves == ("workers" not in (body["reason"] or ""))
    stage.runner.placed = []


async def test_the_bucket_is_as_large_as_the_operator_says(tmp_path: pathlib.Path) -> None:
    """One for runtime and control plane together, by whichever port; others are not slowed."""
    native = free_port()
    async with stack.edge(tmp_path, control_plane_rate_limit=5, native_ports={"koda": native}) as edge:
        http = edge.http
        paths = [f"http://127.0.0.1:{native}/api/runtime/live", "/api/control-plane/auth/status"]
        answers = [await http.get(paths[number % 2]) for number in range(5)]
        for _ in range(40):  # on a slow machine some have come back meanwhile
            if (limited := await http.get(paths[1])).status_code == 429:
                break
        elsewhere = await http.get("/favicon.ico")
        token = {"Authorization": f"Bearer {edge.operator['KODOSUMI_API_KEY']}"}
        operator = await Koda(edge, **token).call("GET", "/api/control-plane/auth/status")

    assert [200, 401, 200, 401, 200] == [answer.status_code for answer in answers]
    assert 429 == limited.status_code
    assert ("rate_limited", True) == (limited.json()["error"]["code"], limited.json()["error"]["retryable"])
    assert int(limited.headers["retry-after"]) >= 1
    assert "5" == answers[0].headers["x-ratelimit-limit"].partition(",")[0]
    assert 204 == elsewhere.status_code
    assert 200 == operator.status_code
