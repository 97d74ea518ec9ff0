"""Users and capabilities: what a mesh that root has started does not leave to its apps.

Each host has a few user ids of a range that is nobody else's: the first for the app, one for each job that runs.  The
zygote keeps the capabilities to give a job its own, and a filter (`seccomp`) holds it to its range.  A job keeps one,
to read what belongs to another user.  The interpreter may lie in a folder such as /root that only root may enter, and
what a job may read at all is Landlock's to say; without Landlock no process changes its user.
"""

import contextlib
import dataclasses
import os
import struct
import sys

from agentmesh.host.confine.kernel import checked, prctl, syscall
from agentmesh.host.confine.settings import UIDS_PER_HOST, Settings
from agentmesh.host.own.environment import UIDS
from agentmesh.host.own.processes import die_with_parent

_CHOWN, _OVERRIDE, _READ_SEARCH, _OWNER, _KILL, _SETGID, _SETUID = 0, 1, 2, 3, 5, 6, 7
OF_HOST = (_CHOWN, _OVERRIDE, _READ_SEARCH, _OWNER, _KILL, _SETGID, _SETUID)
"""What a host keeps that runs as root: to make and remove folders of its jobs, and to end them."""
OF_ZYGOTE = (_READ_SEARCH, _KILL, _SETGID, _SETUID)
OF_JOB = (_READ_SEARCH,)

_LAST = 63
_CAPSET = {"x86_64": 126, "aarch64": 91}
_VERSION_3 = 0x2008_0522
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS = 4, 8
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _AMBIENT_RAISE, _AMBIENT_CLEAR = 24, 47, 2, 4


@dataclasses.dataclass(frozen=True, slots=True)
class Users:
    """User ids of one host; they are ids of groups, too."""

    of_app: int
    """The first."""

    @property
    def last(self) -> int:
        """The last."""
        return self.of_app + UIDS_PER_HOST - 1

    def of_job(self, place: int) -> int:
        """Return the user of the job that has a place, counted from 0; there are 127."""
        return self.of_app + 1 + place % (UIDS_PER_HOST - 1)


def users(settings: Settings, place: int) -> Users:
    """Return the user ids of the host that has a place, counted from 0."""
    assert settings.uids is not None, "they are kept"
    first, last = settings.uids
    return Users(first + place % ((last - first + 1) // UIDS_PER_HOST) * UIDS_PER_HOST)


def why_kept(settings: Settings) -> str:
    """Return why processes keep our user; empty if they get their own."""
    if os.geteuid() != 0:
        return "the mesh was not started as root, and only root may give a process another user"
    if settings.uids is None:
        return f"{UIDS} says so"
    if not is_known():
        return f"it is not known how that is done on {os.uname().machine}"
    first, last = settings.uids
    if not (_is_mapped("uid", first, last) and _is_mapped("gid", first, last)):
        return f"this container has no user ids {first} to {last}: set {UIDS} to some that it has"
    return ""


def is_known() -> bool:
    """Return whether capabilities can be given up on this machine: that takes a number of the kernel's."""
    return sys.platform == "linux" and os.uname().machine in _CAPSET


def _is_mapped(sort: str, first: int, last: int) -> bool:
    with contextlib.suppress(OSError, ValueError), open(f"/proc/self/{sort}_map", encoding="ascii") as file:
        for line in file:
            start, _, count = map(int, line.split())
            if start <= first and last < start + count:
                return True
    return False


def become(user: int, capabilities: tuple[int, ...], *, passed_on: tuple[int, ...] = ()) -> None:
    """Be `user`, with that group only, and with no capabilities but these; programs that it runs get `passed_on`.

    It dies with its parent, as before.  Raises `OSError`.
    """
    parent = os.getppid()
    checked(prctl(_PR_SET_KEEPCAPS, 1))
    if os.getgroups():
        os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    keep_only(capabilities, passed_on=passed_on)
    # The kernel forgets both with a change of user: to die with the parent, and that /proc/self is ours.
    die_with_parent(parent)
    checked(prctl(_PR_SET_DUMPABLE, 1))
    os.environ.setdefault("USER", "agentmesh")  # nobody of that number is known to ask for a name


def bound(capabilities: tuple[int, ...]) -> None:
    """Have no program that we run get any capability but these.  Raises `OSError`."""
    for each in range(_LAST + 1):
        if each not in capabilities and prctl(_PR_CAPBSET_DROP, each) < 0:
            return  # there are no more of them


def keep_only(capabilities: tuple[int, ...], *, passed_on: tuple[int, ...] = ()) -> None:
    """Give up every capability but these, for good; programs that we run get `passed_on`.  Raises `OSError`."""
    mask, inherited = _mask(capabilities), _mask(passed_on)
    header = struct.pack("=Ii", _VERSION_3, 0)
    checked(syscall(_CAPSET[os.uname().machine], header, struct.pack("=6I", mask, mask, inherited, 0, 0, 0)))
    checked(prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR))
    for each in passed_on:
        checked(prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, each))


def _mask(capabilities: tuple[int, ...]) -> int:
    return sum(1 << each for each in capabilities)
