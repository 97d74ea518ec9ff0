"""A short campaign, and the plans of long ones."""

import pathlib
from collections import Counter

import pytest

from tests.faults import plan
from tests.faults.campaign import Campaign
from tests.faults.plan import Kind

FAULTS, SUBMITTERS = 24, 4


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("faults")
async def test_a_short_campaign_breaks_no_promise(tmp_path: pathlib.Path) -> None:
    """Kill, freeze, full disks and no descriptors, on every kind of process, while jobs of every kind run."""
    said: list[str] = []
    faults = plan.make(7, FAULTS, pause_s=0.9, short=True)
    campaign = Campaign(tmp_path, faults, seed=7, submitters=SUBMITTERS, pause_s=0.5, say=said.append)
    outcome = await campaign.run()

    log = campaign.mesh.log_path.read_text(errors="replace")
    assert 0 == outcome.broken.count, f"{outcome.broken.seen}\n{said}\n{log[-8000:]}"
    assert FAULTS == len(said)
    assert outcome.injected.total() > FAULTS // 2, outcome.injected
    assert outcome.acknowledged >= SUBMITTERS


def test_a_seed_decides_the_plan() -> None:
    """The same seed, the same faults; a long plan has each kind, on each part that it is for."""
    faults = plan.make(3, 1000, pause_s=1.0)

    assert faults == plan.make(3, 1000, pause_s=1.0)
    assert faults != plan.make(4, 1000, pause_s=1.0)
    hit = Counter((fault.kind, fault.part) for fault in faults)
    assert set(hit) == {(kind, part) for kind in Kind for part in plan.PARTS[kind]}
    assert any(fault.duration_s == plan.LONG_S for fault in faults)
    assert all(fault.duration_s < plan.LONG_S for fault in plan.make(3, 1000, pause_s=1.0, short=True))
