"""What a soak holds against what: a mesh that grows is told from one that does not."""

import pathlib

import pytest

from tests.faults import soak


def test_what_grows_is_told() -> None:
    """Of what is there all the time: its medians, once it is warm and at the end."""
    samples: list[soak.Sample] = [
        {
            ("leak", "memory"): (100 + number) * soak.MIB,
            ("leak", "threads"): 4 if number != 39 else 400,  # a moment does not count
            ("warms", "descriptors"): min(100.0, number * 10),
            ("gone", "threads"): 1,
        }
        for number in range(40)
    ]
    del samples[30]["gone", "threads"]

    seen = {(growth.who, growth.measure): growth.is_beyond for growth in soak.growths(samples)}

    assert {("leak", "memory"): True, ("leak", "threads"): False, ("warms", "descriptors"): False} == seen


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("faults")
async def test_a_short_soak_sees_every_process(tmp_path: pathlib.Path) -> None:
    """All that a mesh consists of is measured, at load, and no promise is broken."""
    seen = await soak.soak(tmp_path, "embedded", took_s=8.0, every_s=1.0)

    assert 0 == seen.broken.count, seen.broken.seen
    assert seen.jobs
    measured = {growth.who.split()[0] for growth in seen.growths}
    assert {"supervisor", "runner", "auth", "registry", "payments", "ledger", "gateway", "edge", "host"} <= measured
    assert set(soak.BOUNDS) == {growth.measure for growth in seen.growths}
