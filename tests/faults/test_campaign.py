"""A short campaign, and the plans of long ones."""

import pathlib
from collections import Counter

import pytest

from tests.faults import plan
from tests.faults.campaign import Campaign
from tests.faults.grounds import GROUNDS
from tests.faults.plan import Kind

FAULTS, SUBMITTERS = 18, 4


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("shape", list(GROUNDS))
async def test_a_short_campaign_breaks_no_promise(tmp_path: pathlib.Path, shape: str) -> None:
    """Kill, freeze, full disks and no descriptors, on every kind of process and server, while all kinds of jobs run."""
    said: list[str] = []
    with GROUNDS[shape]() as ground:
        faults = plan.make(7, FAULTS, pause_s=0.9, short=True, servers=bool(ground.servers))
        campaign = Campaign(tmp_path, faults, ground, seed=7, submitters=SUBMITTERS, pause_s=0.5, say=said.append)
        outcome = await campaign.run()

    log = campaign.mesh.log_path.read_text(errors="replace")
    assert 0 == outcome.broken.count, f"{outcome.broken.seen}\n{said}\n{log[-8000:]}"
    assert FAULTS == len(said)
    assert outcome.injected.total() > FAULTS // 2, outcome.injected
    assert outcome.acknowledged >= SUBMITTERS
    assert outcome.watched


def test_a_seed_decides_the_plan() -> None:
    """The same seed, the same faults; a long plan has each kind, on each part that it is for."""
    faults = plan.make(3, 1000, pause_s=1.0)

    assert faults == plan.make(3, 1000, pause_s=1.0)
    assert faults != plan.make(4, 1000, pause_s=1.0)
    assert not any(fault.kind in plan.SERVERS_FAIL for fault in faults)
    hit = Counter((fault.kind, fault.part) for fault in plan.make(3, 1000, pause_s=1.0, servers=True))
    assert set(hit) == {(kind, part) for kind in Kind for part in plan.PARTS[kind]}
    assert any(fault.duration_s == plan.LONG_S for fault in faults)
    assert all(fault.duration_s < plan.LONG_S for fault in plan.make(3, 1000, pause_s=1.0, short=True))
