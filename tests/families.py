"""The processes of a mesh, of which some may end while one looks at them: a job's is gone the moment after its end."""

import contextlib
from collections.abc import Callable, Iterable
from typing import TypeVar

import psutil

T = TypeVar("T")


def family(pid: int) -> list[psutil.Process]:
    """Return a process, and all that are below it.  Raises `psutil.NoSuchProcess`."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def asked(
    processes: Iterable[psutil.Process], question: Callable[[psutil.Process], T]
) -> list[tuple[psutil.Process, T]]:
    """Return what is found out about each of the processes, but for those that have gone meanwhile."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            found.append((process, question(process)))
    return found


def running(pid: int, module: str) -> psutil.Process:
    """Return the process below another that runs `python -m module`.  Raises `AssertionError` if there is none."""
    for process, command in asked(family(pid)[1:], psutil.Process.cmdline):
        if module in command:
            return process
    raise AssertionError(f"nobody runs {module}")


def is_gone(process: psutil.Process) -> bool:
    """Return whether a process has ended, though nobody may have collected it yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
