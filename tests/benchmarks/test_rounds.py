"""Rounds against servers that a test answers for."""

import itertools
import os
from typing import Any

from benchmarks.peers.rounds import ACCEPTED, CPU, FEW, FINISHED, MANY, STATUSES, Contender, Size, play
from benchmarks.peers.ways import Way
from tests.benchmarks.server import Answer, serving

SMALL = Size(sequential=3, jobs=12, polling_s=0.05)


def _way(name: str) -> Way:
    return Way(
        name=name,
        request=lambda: ("/start", {}),
        status_path=lambda answer: f"/status/{answer['id']}",
        field="status",
        ended="done",
        failed=frozenset({"lost"}),
    )


def _jobs(end: str) -> Answer:
    """Answer as a server whose jobs end as said when they are asked about for the second time."""
    ids = itertools.count()
    asked: dict[str, int] = {}

    def answer(method: str, path: str) -> tuple[int, Any]:
        if method == "POST":
            return 200, {"id": next(ids)}
        asked[path] = asked.get(path, 0) + 1
        return 200, {"status": end if asked[path] > 1 else "running"}

    return answer


async def test_a_round_measures_everything_of_everybody() -> None:
    """Each way has each figure, and a job that has not ended at first sight is waited for."""
    async with serving(_jobs("done")) as one, serving(_jobs("done")) as other:
        pair = [Contender(way=_way("one"), url=one, pid=os.getpid()), Contender(way=_way("two"), url=other, pid=1)]
        measured, failed = await play(pair, SMALL, first=1)

    assert {} == failed
    assert ["two", "one"] == list(measured)
    for found in measured.values():
        assert {ACCEPTED, FINISHED, FEW, MANY, STATUSES, CPU} <= found.keys()
        assert 0 < found[ACCEPTED] < found[FINISHED]


async def test_who_fails_spoils_no_round_of_others() -> None:
    """A way whose jobs do not end well has no figures, and the others have all of theirs."""
    async with serving(_jobs("done")) as one, serving(_jobs("lost")) as other:
        good = Contender(way=_way("one"), url=one, pid=os.getpid())
        bad = Contender(way=_way("two"), url=other, pid=os.getpid())
        measured, failed = await play([bad, good], SMALL, first=0)

    assert ["one"] == list(measured)
    assert [bad] == list(failed)
