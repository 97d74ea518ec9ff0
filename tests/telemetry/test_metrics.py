"""`GET /metrics`: every process of the mesh and Envoy, in one answer that Prometheus reads, for operators only."""

import time

import httpx
from prometheus_client.parser import text_string_to_metric_families

from agentmesh.testing import Mesh
from tests.host.stage import until
from tests.mesh_wide.panel import Panel
from tests.telemetry.collector import HEARD_S, Collector

PROCESSES = {"auth", "registry", "runner", "payments", "ledger", "gateway", "edge"}


Samples = dict[str, list[tuple[dict[str, str], float]]]


def up(found: Samples) -> set[str]:
    """Return the processes that were heard."""
    return {labels["service"] for labels, value in found["agentmesh_up"] if value == 1}


def metrics(mesh: Mesh) -> Samples:
    """Return the samples by name, as Prometheus' own parser reads them."""
    panel = Panel(mesh.url)
    answer = panel.http.get("/metrics", headers={"authorization": f"Bearer {panel.token}"})
    panel.close()
    assert 200 == answer.status_code, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: Samples = {}
    families = list(text_string_to_metric_families(answer.text))
    names = [family.name for family in families]
    assert [] == [name for name in names if names.count(name) > 1 and not name.startswith("envoy_")]
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_every_process_is_in_it(mesh: Mesh) -> None:
    """With what it has done: calls and how long they took, jobs, hosts, events, its database."""
    assert mesh.client.run("steps", {"what": "tart"}).succeeded
    deadline = time.monotonic() + HEARD_S
    while PROCESSES != up(found := metrics(mesh)):  # a busy machine may hold one up for longer than it is waited for
        assert time.monotonic() < deadline, up(found)
    calls = {
        (labels["service"], labels["rpc_method"], labels["rpc_response_status_code"]): value
        for labels, value in found["rpc_server_call_duration_seconds_count"]
    }
    assert calls["runner", "mesh.runner.v1.JobService/CreateJob", "OK"] >= 1
    assert any(labels["le"] == "0.01" for labels, _ in found["rpc_server_call_duration_seconds_bucket"])
    ended = {labels["state"]: value for labels, value in found["agentmesh_jobs_ended_total"]}
    assert ended["succeeded"] >= 1
    assert sum(value for _, value in found["agentmesh_events_total"]) > 5
    for name in ("agentmesh_jobs_waiting", "agentmesh_jobs_leased", "agentmesh_hosts"):
        assert "steps" in {labels["expose"] for labels, _ in found[name]}
    databases = {(labels["service"], labels["file"]) for labels, _ in found["agentmesh_database_size"]}
    assert {("runner", "database"), ("runner", "wal")} <= databases
    assert any(name.startswith("envoy_http_downstream_rq") for name in found)
    assert found["process_resident_memory_bytes"]


def test_it_is_for_operators(mesh: Mesh) -> None:
    """A stranger and a user without rights are refused, and so is a cookie: a page may not make a browser read it."""
    operator = Panel(mesh.url)
    role = {"name": "nosy", "email": "nosy@example.com", "password": "a nosy one's password"}
    assert operator.http.post("/role/", json=role).status_code in (201, 409)
    nosy = Panel(mesh.url, role["name"], role["password"])
    bearer = {"authorization": f"Bearer {nosy.token}"}
    with httpx.Client(base_url=mesh.url, timeout=60) as nobody:
        assert 401 == nobody.get("/metrics").status_code
        assert 401 == nobody.get("/metrics", headers={"authorization": "Bearer nonsense"}).status_code
        assert "not authorized" in nobody.get("/metrics", headers=bearer).text
    assert 401 == operator.http.get("/metrics").status_code
    nosy.close()
    operator.close()


def test_a_collector_hears_them_too(mesh: Mesh, collector: Collector) -> None:
    """And lines of the logs, with the request that they are of."""
    assert mesh.client.run("steps", {"what": "tart"}).succeeded
    collector.wait(
        lambda: {("runner", "rpc.server.call.duration"), ("runner", "agentmesh.events")} <= collector.metrics,
        lambda: collector.metrics,
    )
    with httpx.Client(base_url=mesh.url, timeout=60) as http:
        refused = http.post("/login", data={"name": "admin", "password": "a guess"})
    request = refused.headers["x-request-id"]
    collector.wait(
        lambda: any(line[2].get("request_id") == request for line in collector.logs), lambda: collector.logs[-20:]
    )
    trace_id, text, said = next(line for line in collector.logs if line[2].get("request_id") == request)
    assert (text in ("rpc", "sign-in"), trace_id) == (True, said["trace_id"])
    until(lambda: trace_id in mesh.log())  # it comes there by another way, which may be the slower one
