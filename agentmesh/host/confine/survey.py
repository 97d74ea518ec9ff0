"""What this platform gives to keep apps apart, each measure in a line: tried, not looked up."""

import dataclasses
import functools
import os
from collections.abc import Callable

from agentmesh.host.confine import identity, landlock, seccomp
from agentmesh.host.confine.settings import OFF, Settings
from agentmesh.host.own.environment import ISOLATION


@dataclasses.dataclass(frozen=True, slots=True)
class Measure:
    """One thing that keeps an app from the rest."""

    name: str
    given: bool
    note: str
    """What it does; if it is not given, why, and what that means."""
    needed: bool = True
    """Whether it must be there where isolation is required."""


def survey(settings: Settings) -> list[Measure]:
    """Return every measure, in the order of what they mean."""
    if settings.isolation == OFF:
        opened = f"{ISOLATION}={OFF}: apps and jobs may do what the user may that runs the mesh, its secrets included"
        return [Measure(name, False, opened, needed) for name, needed in _NAMES.items()]
    user = _user(settings)
    return [
        _files(),
        _signals(user),
        _calls(),
        Measure("privileges", True, "no program gives a job more rights than it has (no_new_privs)"),
        Measure("limits", True, "memory, processes, files and their size are bounded for each process (rlimits)"),
        user,
    ]


def missing(measures: list[Measure]) -> list[Measure]:
    """Return what is needed and not given."""
    return [measure for measure in measures if measure.needed and not measure.given]


_NAMES = {
    "files": True,
    "signals": True,
    "calls": True,
    "privileges": True,
    "limits": True,
    "user": False,
}


@functools.cache
def _files() -> Measure:
    abi = landlock.version()
    if abi and _works(lambda: landlock.restrict(abi, [])):
        return Measure("files", True, f"a job reads what its app may, and writes to its own folder (Landlock {abi})")
    why = "Landlock does not work here: it takes Linux 5.13, and `landlock` among the kernel's security modules"
    return Measure("files", False, f"{why}.  A job may read and write what the mesh may, its secrets included")


def _signals(user: Measure) -> Measure:
    abi = landlock.version()
    if user.given and not landlock.has_scopes(abi):
        return Measure("signals", True, "a job signals what has its user id, which nothing else has")
    if landlock.has_scopes(abi):
        return Measure("signals", True, "a job signals what it has started, and nothing else (Landlock scopes)")
    why = f"Landlock {abi} has no scopes: that takes Linux 6.12"
    return Measure("signals", False, f"{why}.  A job may signal what runs as its user")


@functools.cache
def _calls() -> Measure:
    program = seccomp.compile_program()
    if program and _works(lambda: _filter(program)):
        return Measure("calls", True, "system calls that reach into other processes or the kernel fail (seccomp)")
    why = "there are no seccomp filters here" if program else f"there is no filter for {os.uname().machine}"
    return Measure("calls", False, f"{why}.  A job may look into what runs as its user, where the kernel lets it")


def _user(settings: Settings) -> Measure:
    why = identity.why_kept(settings)
    if not why and not _files().given:
        why = "without Landlock a job of another user could not read what its app needs"
    if not why:
        return Measure("user", True, "each app and each job has a user id of its own", needed=False)
    return Measure("user", False, f"{why}.  Jobs have the mesh's user, and the other measures to hold them", False)


def _filter(program: bytes) -> None:
    landlock.keep_privileges()
    seccomp.enter(program)


def _works(attempt: Callable[[], object]) -> bool:
    """Try something in a process of its own, as it cannot be undone."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            attempt()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0
