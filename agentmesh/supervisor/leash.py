"""Become another program that dies with its parent: `python -I -S leash.py PARENT_PID PROGRAM [ARGUMENT]...`.

A supervisor that is killed with SIGKILL cannot end its children; the kernel does it (prctl(2), PR_SET_PDEATHSIG; the
setting survives exec).  A program of its own, because between fork and exec of a threaded parent no Python may run.
Linux only: elsewhere the program starts without the leash.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_ORPHAN = 75


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; exit with `EXIT_ORPHAN` if `parent` is that no more."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked: no signal will come
            sys.exit(EXIT_ORPHAN)


def main() -> None:
    """Set the leash, then exec."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    die_with(parent)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
