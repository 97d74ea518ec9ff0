"""When a host ends, nothing is left of what its jobs have started."""

import psutil
import pytest

from tests.ending import wait_procs
from tests.host.stage import stage
from tests.hostile.neighbourhood import APP, Neighbourhood

MARK = "HOSTILE_TEST_LEAVING"


@pytest.mark.parametrize("shared", [False, True])
async def test_forks_end_with_their_host(shared: bool) -> None:
    """Those of an async flow and of one in a thread, wherever they hang."""
    async with stage(APP, HOSTILE_TEST_LEAVING=str(shared)) as host:
        neighbourhood = Neighbourhood(host)
        await neighbourhood.run("fork_in_a_thread", shared=shared)
        await neighbourhood.run("fork", shared=shared)
        await neighbourhood.move_in(shared=shared)

    left = [process for process in psutil.process_iter() if _is_of(process, str(shared))]
    _, alive = wait_procs(left, timeout=60)
    assert [] == alive


def _is_of(process: psutil.Process, value: str) -> bool:
    try:
        return process.environ().get(MARK) == value
    except (psutil.Error, OSError):
        return False
