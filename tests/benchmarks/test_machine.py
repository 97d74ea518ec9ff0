"""What Linux counts for a process."""

import os
import subprocess
import sys

from benchmarks import machine


def test_what_a_child_computed_counts_after_its_end() -> None:
    """Jobs are short processes: their time is found with whoever reaped them."""
    before = machine.spent_s(os.getpid()).total()
    subprocess.run([sys.executable, "-c", "sum(range(10_000_000))"], check=True)

    assert machine.spent_s(os.getpid()).total() - before > 0.05
