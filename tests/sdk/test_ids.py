"""Ids of jobs."""

import concurrent.futures
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from agentmesh.ids import new_job_id
from services.runner.domain.ids import JobIds

RANDOM = slice(11, None)
"""Behind the time."""


def _runner_ids() -> Callable[[], str]:
    made = JobIds(secrets.randbits)
    return lambda: made.new(time.time())


@pytest.mark.parametrize("new", [new_job_id, _runner_ids()], ids=["host", "runner"])
def test_ids_begin_with_the_time_and_sort(new: Callable[[], str]) -> None:
    """24 hex digits that start with the time in seconds, in order."""
    before = int(time.time())
    ids = [new() for _ in range(100)]

    assert all(re.fullmatch("[0-9a-f]{24}", job_id) for job_id in ids)
    assert before <= int(ids[0][:8], 16) <= int(time.time()) + 1
    assert ids == sorted(ids)


@pytest.mark.parametrize("new", [new_job_id, _runner_ids()], ids=["host", "runner"])
def test_an_id_does_not_tell_the_next(new: Callable[[], str]) -> None:
    """Whoever knows one cannot count on: 52 bits are drawn anew for each."""
    ids = [new() for _ in range(1_000)]
    numbers = [int(job_id[RANDOM], 16) for job_id in ids]

    assert len(set(numbers)) == len(numbers)
    for bit in range(52):
        ones = sum(number >> bit & 1 for number in numbers)
        assert 300 < ones < 700, f"bit {bit} is set in {ones} of 1,000 ids"


def test_threads_do_not_repeat_each_other() -> None:
    """Whatever the interleaving."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_job_id(), range(2_000)))

    assert 2_000 == len(set(ids))


def test_forks_do_not_repeat_each_other() -> None:
    """Handlers are forks of one process: each draws its own random part."""
    code = (
        "import os; from agentmesh.ids import new_job_id; new_job_id()\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        print(new_job_id()[11:], flush=True); os._exit(0)\n"
        "    os.wait()\n"
        "print(new_job_id()[11:])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert 4 == len(set(done.stdout.split()))
