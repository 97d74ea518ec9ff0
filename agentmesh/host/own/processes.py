"""Small facts about processes: dying with the parent, and saying in words how one ended."""

import contextlib
import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: dlopen in a child of a busy parent may wait for a lock that nobody holds any more.
_libc = ctypes.CDLL(None, use_errno=True)
# Not on other systems than Linux: there a closed channel ends the child instead.
_prctl = getattr(_libc, "prctl", None)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent`, which has just forked it, ends.

    Exits at once if the parent has ended already: the request came too late then.
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def end_with_parent(parent: int) -> bool:
    """Ask the kernel to tell this process by SIGTERM when `parent` ends; return whether it has ended already."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    return os.getppid() != parent


def raise_descriptor_limit() -> None:
    """Let this process open as many files as it may: it has three for each job that is a process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names a hard limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe_exit(status: int) -> str:
    """Say how a process ended, from its `waitpid` status: `killed by SIGKILL` or `exited with status 3`."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = {"SIGKILL": " (perhaps out of memory)", "SIGSEGV": " (segmentation fault)"}.get(name, "")
    return f"was killed by {name}{hint}"
