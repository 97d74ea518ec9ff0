"""Ids of jobs."""

import concurrent.futures
import re
import subprocess
import sys
import time

from agentmesh.ids import new_job_id


def test_ids_are_object_ids() -> None:
    """24 hex digits that start with the time in seconds, in order."""
    before = int(time.time())
    ids = [new_job_id() for _ in range(100)]

    assert all(re.fullmatch("[0-9a-f]{24}", job_id) for job_id in ids)
    assert before <= int(ids[0][:8], 16) <= int(time.time())
    assert 1 == len({job_id[8:18] for job_id in ids})


def test_threads_do_not_repeat_each_other() -> None:
    """The counter is shared."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_job_id(), range(2_000)))

    assert 2_000 == len(set(ids))


def test_forks_do_not_repeat_each_other() -> None:
    """Handlers are forks of one process: each draws its own random part."""
    code = (
        "import os; from agentmesh.ids import new_job_id; new_job_id()\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        print(new_job_id()[8:18], flush=True); os._exit(0)\n"
        "    os.wait()\n"
        "print(new_job_id()[8:18])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)

    assert 4 == len(set(done.stdout.split()))
