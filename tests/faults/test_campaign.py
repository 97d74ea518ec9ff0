"""A short campaign, and the plans of long ones."""

import json
import pathlib
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import job_pb2

from agentmesh._client.records import to_job
from agentmesh.client import Event
from tests.faults import plan, promises
from tests.faults.campaign import Campaign
from tests.faults.flows import TAKEN
from tests.faults.grounds import GROUNDS
from tests.faults.plan import Kind

SUBMITTERS = 4
PLANS = {"embedded": (2863, 18), "replicas": (5960, 18), "ray": (2729, 12)}
"""Seeds and numbers of faults, which have something of most kinds."""


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("shape", list(GROUNDS))
async def test_a_short_campaign_breaks_no_promise(tmp_path: pathlib.Path, shape: str) -> None:
    """Kill, freeze, full disks and no descriptors, on every kind of process and server, while all kinds of jobs run."""
    said: list[str] = []
    with GROUNDS[shape]() as ground:
        seed, count = PLANS[shape]
        faults = plan.make(seed, count, plan.PARTS[shape], pause_s=0.9, short=True)
        campaign = Campaign(tmp_path, faults, ground, seed=seed, submitters=SUBMITTERS, pause_s=0.5, say=said.append)
        outcome = await campaign.run()

    log = campaign.mesh.log_path.read_text(errors="replace")
    assert 0 == outcome.broken.count, f"{outcome.broken.seen}\n{said}\n{log[-8000:]}"
    assert count == len(said)
    assert outcome.injected.total() > count // 2, outcome.injected
    assert Kind.SKEW in {kind for kind, _ in outcome.injected}
    assert outcome.acknowledged >= SUBMITTERS
    assert outcome.watched


def test_what_a_log_may_not_say_is_told() -> None:
    """A job that is made again says all of it again only if it had waited for an answer; steps are taken once."""

    def log(*lines: tuple[str, Any]) -> list[Event]:
        said = [(kind, said if isinstance(said, str) else json.dumps(said)) for kind, said in lines]
        return [Event(seq=seq, kind=kind, time=0.0, payload=payload) for seq, (kind, payload) in enumerate(said, 1)]

    def broken(path: str, *lines: tuple[str, Any]) -> dict[str, int]:
        events = log(*lines, ("status", "succeeded"))
        seen = promises.Broken()
        job = to_job(job_pb2.Job(name="jobs/1", state=job_pb2.JOB_STATE_SUCCEEDED, last_seq=len(events)))
        promises.check_log(promises.Submission(tag="", path=path, steps=2, job="jobs/1"), job, events, seen)
        return {promise: len(what) for promise, what in seen.seen.items() if what}

    running = ("status", "running")
    first, second = (("result", {"dict": {"step": step}}) for step in range(2))
    assert {} == broken("", running, first, second)
    assert {"gap": 1} == broken("", running, first)
    assert {"gap": 1} == broken("", running, second, first)
    assert {"gap": 1} == broken("", running, first, running, first, second)
    assert {"gap": 1} == broken("", first)
    assert {} == broken("ask", running, first, second, running, first, second)

    taken = [("debug", f"{TAKEN}{step}") for step in range(2)]
    kept = [("step", {"name": f"step {step}", "result": "word"}) for step in range(2)]
    told = [("result", {"dict": {"step": step, "word": "word"}}) for step in range(2)]
    whole = (taken[0], kept[0], told[0], taken[1], kept[1], told[1])
    assert {} == broken("steps", running, *whole[:4], running, told[0], *whole[3:])
    assert {"step": 1} == broken("steps", running, *whole, taken[0])
    assert {"step": 1} == broken("steps", running, *whole, ("result", {"dict": {"step": 0, "word": "other"}}))
    assert {"step": 1} == broken("steps", running, *whole[:4])


def test_a_seed_decides_the_plan() -> None:
    """The same seed, the same faults; a long plan of each shape has each kind, on each part that it is for."""
    embedded = plan.PARTS["embedded"]
    faults = plan.make(3, 1000, embedded, pause_s=1.0)

    assert faults == plan.make(3, 1000, embedded, pause_s=1.0)
    assert faults != plan.make(4, 1000, embedded, pause_s=1.0)
    assert any(fault.duration_s == plan.LONG_S for fault in faults)
    assert all(fault.duration_s < plan.LONG_S for fault in plan.make(3, 1000, embedded, pause_s=1.0, short=True))
    for parts in plan.PARTS.values():
        hit = {(fault.kind, fault.part) for fault in plan.make(3, 1500, parts, pause_s=1.0)}
        assert {(kind, part) for kind in parts for part in parts[kind]} == hit
    assert set(Kind) == {kind for parts in plan.PARTS.values() for kind in parts}
