"""A trace goes from who asks through Envoy, the gateway, the runner and a host into the author's code."""

import secrets

import httpx

from agentmesh.testing import Mesh
from tests.mesh_wide.panel import Panel
from tests.telemetry.collector import Collector, Heard


def by_name(spans: list[Heard]) -> dict[str, Heard]:
    """Return spans by service and name."""
    return {f"{span.service} {span.name}": span for span in spans}


def ancestors(spans: list[Heard], span: Heard) -> list[str]:
    """Return whose child a span is, and so on up."""
    known = {each.id: each for each in spans}
    found = []
    while (parent := known.get(span.parent)) is not None:
        found.append(f"{parent.service} {parent.name}")
        span = parent
    return found


WANTED = {"runner job", "runner run flows/steps", "runner outer", "runner inner", "runner failing"}


def is_whole(spans: list[Heard]) -> bool:
    """Return whether every process has told of its part: each does so in its own time."""
    named = by_name(spans)
    return set(named) >= WANTED and all(ancestors(spans, named[name])[-1:] == ["edge ingress"] for name in WANTED)


def start(mesh: Mesh, path: str, body: object) -> tuple[str, str, httpx.Response]:
    """Start a job in a trace of ours; return its id, the span that we are in, and the answer."""
    trace_id, ours = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace_id}-{ours}-01"}
    panel = Panel(mesh.url)
    try:
        answer = panel.http.post(path, json=body, headers={**headers, "authorization": f"Bearer {panel.token}"})
    finally:
        panel.close()
    assert answer.status_code in (200, 201), answer.text
    return trace_id, ours, answer


def test_a_job_is_one_trace(mesh: Mesh, collector: Collector) -> None:
    """From who starts it to the steps of its code, each in the one that it is a part of; a query is told to nobody."""
    trace_id, ours, answer = start(mesh, "/-/steps/?password=hunter2", {"what": "cake"})
    job = mesh.client.wait(f"jobs/{answer.json()['result']}", 60)
    assert job.succeeded, job.error

    found = collector.spans(trace_id, is_whole)
    spans = by_name(found)
    assert [
        "runner outer",
        "runner run flows/steps",
        "runner job",
        "runner mesh.runner.v1.JobService/CreateJob",
        "gateway mesh.runner.v1.JobService/CreateJob",
        "gateway POST",
        "edge ingress",
    ] == ancestors(found, spans["runner inner"])
    edge = spans["edge ingress"]
    assert (ours, f"{mesh.url}/-/steps") == (edge.parent, edge.attributes["http.url"])
    assert answer.headers["x-request-id"] == edge.attributes["guid:x-request-id"]
    assert answer.headers["x-request-id"] == spans["gateway POST"].attributes["agentmesh.request_id"]
    outer, run = spans["runner outer"], spans["runner run flows/steps"]
    assert (3, "cake", 2) == tuple(outer.attributes[name] for name in ("size", "what", "rows"))
    assert run.start <= outer.start <= spans["runner inner"].start <= outer.end <= run.end
    assert ["runner failing"] == [name for name, span in spans.items() if span.failed]
    assert {"within": f"00-{trace_id}-{spans['runner inner'].id}-01", "outside": f"00-{trace_id}-{run.id}-01"} == (
        job.result["dict"]
    )
    assert ("x-tenant", "bakery") in collector.headers


def test_a_transcoded_call_is_one_trace(mesh: Mesh, collector: Collector) -> None:
    """Envoy calls the runner then."""
    trace_id, _, answer = start(mesh, "/mesh/v1/jobs", {"flow": "flows/steps", "inputs": {"what": "pie"}})
    assert mesh.client.wait(answer.json()["name"], 60).succeeded
    found = collector.spans(trace_id, is_whole)
    above = ancestors(found, by_name(found)["runner job"])
    assert ["runner mesh.runner.v1.JobService/CreateJob", "edge ingress"] == above


def test_who_says_that_it_is_not_traced_is_not(mesh: Mesh, collector: Collector) -> None:
    """The ratio is for those who say nothing; a job of the other kind is told nothing of traces, and does nothing."""
    trace_id = secrets.token_hex(16)
    panel = Panel(mesh.url)
    answer = panel.http.post(
        "/-/steps/",
        json={},
        headers={"authorization": f"Bearer {panel.token}", "traceparent": f"00-{trace_id}-{'1' * 16}-00"},
    )
    panel.close()
    job = mesh.client.wait(f"jobs/{answer.json()['result']}", 60)
    assert {"within": "", "outside": ""} == job.result["dict"]
    assert [] == [event for event in mesh.client.events(job.name) if event.kind == "span"]
    assert trace_id not in collector.traces
