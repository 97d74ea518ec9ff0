"""What the processes of a mesh take from the machine, as Linux counts it."""

import collections
import os
import pathlib


def tree(pid: int) -> list[int]:
    """Return a process and all that it started."""
    pids = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            pids += tree(int(child))
    return pids


def memory_kb(pid: int) -> "collections.Counter[str]":
    """Return the memory of a process and all that it started, in kB by name; shared pages by their share (PSS)."""
    kilobytes: collections.Counter[str] = collections.Counter()
    for each in tree(pid):
        kilobytes[_name(each)] += _pss_kb(each)
    return kilobytes


def available_mb() -> int:
    """Return how much memory new processes may take before the machine swaps, in MB."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def cpu_s(pid: int) -> dict[tuple[int, str], float]:
    """Return what a process and each that it started has computed so far, in seconds, by pid and name."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for each in tree(pid):
        try:
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[each, _name(each)] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def spent_s(pid: int) -> "collections.Counter[str]":
    """Return what a process and all that it started has computed, in seconds, by name.

    What has ended and was reaped counts for the process that reaped it.
    """
    ticks = os.sysconf("SC_CLK_TCK")
    seconds: collections.Counter[str] = collections.Counter()
    for each in tree(pid):
        try:
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        # user, system, and both of the children that it has reaped
        seconds[_name(each)] += sum(int(field) for field in fields[11:15]) / ticks  # type: ignore[assignment]
    return seconds


def used(before: dict[tuple[int, str], float], after: dict[tuple[int, str], float]) -> "collections.Counter[str]":
    """Return the seconds computed between two looks, by name."""
    seconds: collections.Counter[str] = collections.Counter()
    for (pid, name), total in after.items():
        seconds[name] += total - before.get((pid, name), 0.0)  # type: ignore[assignment]  # counts are floats
    return seconds


def _name(pid: int) -> str:
    """Return what a process is: the module it runs, or its program."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "?"
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    return pathlib.Path(words[0]).name


def _pss_kb(pid: int) -> int:
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
