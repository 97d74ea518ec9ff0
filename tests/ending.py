"""Waiting for the end of processes."""

from collections.abc import Iterable

import psutil


def wait_procs(
    processes: Iterable[psutil.Process], timeout: float
) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """As `psutil.wait_procs`: return who has ended and who is alive still after `timeout` seconds."""
    processes = list(processes)
    while True:
        try:
            return psutil.wait_procs(processes, timeout)
        except FileNotFoundError:
            # What newer kernels say of a process that is gone this very moment, where older ones said ESRCH.
            continue
