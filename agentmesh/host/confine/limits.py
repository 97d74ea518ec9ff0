"""How much one job may take: the kernel's limits of a process, which what it starts inherits."""

import contextlib
import os
import resource

from agentmesh_protos.runner.v1.app_pb2 import Bounds

_GIB = 1024**3
PROCESSES = 1024
OPEN_FILES = 65_536
FILE_BYTES = 32 * _GIB
_RESERVE_BYTES = 64 * 1024 * 1024
_RESERVE_PROCESSES = 16
"""What a job that has used up all it was given may take to say so."""
_OOM_SCORE = 500
"""Of a thousand: when memory runs out, the kernel ends a job and not what serves all."""


def defaults() -> Bounds:
    """Return what holds where an expose says nothing: more than ordinary work takes, and less than the machine has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Bounds(memory_bytes=memory, process_count=PROCESSES, open_file_count=OPEN_FILES, file_bytes=FILE_BYTES)


def apply(bounds: Bounds, *, has_user: bool) -> None:
    """Limit this process and what it starts; a field that is 0 takes the default.  Limits that are lower stay.

    Processes are counted by user: where a job has none of its own, the limit is above what runs now.
    """
    known = defaults()
    # What a process writes to: address space that is only reserved, as JIT compilers and Ray do it, is no memory.
    _lower(resource.RLIMIT_DATA, bounds.memory_bytes or known.memory_bytes, reserve=_RESERVE_BYTES)
    _lower(resource.RLIMIT_FSIZE, bounds.file_bytes or known.file_bytes)
    _lower(resource.RLIMIT_NOFILE, bounds.open_file_count or known.open_file_count)
    others = 0 if has_user else _running()
    count = others + (bounds.process_count or known.process_count)
    _lower(resource.RLIMIT_NPROC, count, reserve=_RESERVE_PROCESSES)
    _lower(resource.RLIMIT_CORE, 0)  # it would hold what the job knows


def _running() -> int:
    """Return how many processes and threads this machine runs."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/loadavg", encoding="ascii") as file:
        return int(file.read().split()[3].partition("/")[2])
    return PROCESSES


def be_ended_first() -> None:
    """Have the kernel end this process, or what it starts, rather than another when memory runs out."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:
        if int(file.read()) < _OOM_SCORE:
            file.write(str(_OOM_SCORE))


def relieve() -> None:
    """Let a job that is at its end, and perhaps at its limits, take what it was not given: it has to say so."""
    for limit in (resource.RLIMIT_DATA, resource.RLIMIT_NPROC):
        with contextlib.suppress(ValueError, OSError):
            _, hard = resource.getrlimit(limit)
            resource.setrlimit(limit, (hard, hard))


def _lower(limit: int, most: int, *, reserve: int = 0) -> None:
    soft, hard = resource.getrlimit(limit)
    soft = most if soft == resource.RLIM_INFINITY else min(soft, most)
    hard = most + reserve if hard == resource.RLIM_INFINITY else min(hard, most + reserve)
    with contextlib.suppress(ValueError, OSError):  # systems differ in what they let be said
        resource.setrlimit(limit, (soft, hard))
