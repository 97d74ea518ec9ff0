"""A short run of nonsense."""

import pathlib

import pytest

from tests.fuzz.campaign import run

CALLS = 1_500


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("fuzz")
async def test_nonsense_breaks_nothing(tmp_path: pathlib.Path) -> None:
    """No 5xx, no INTERNAL, nothing that hangs or ends, at any door; jobs run afterwards."""
    doors = await run(tmp_path, 9, CALLS)

    assert all(seen.answers.total() > CALLS // 50 for door, seen in doors.items() if door != "afterwards"), doors
    assert not [f"{door}: {seen}" for door, seen in doors.items() if seen.faults]
