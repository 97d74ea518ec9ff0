"""Landlock: an allow-list of files that a process gives itself and what it starts, and cannot take back.

The kernel's own interface (https://docs.kernel.org/userspace-api/landlock.html), by its system calls: Python has none.
It needs no rights.  A process that is restricted again keeps both restrictions; and it may neither look into nor, from
version 6 on, signal or reach over abstract sockets what is not restricted at least as it is.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable

from agentmesh.host.confine.kernel import checked, prctl, syscall

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_FILE = 1 << 5
MAKE_REG = 1 << 8
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

READ = EXECUTE | READ_FILE | READ_DIR
WRITE = (1 << 16) - 1
"""Everything, reading included."""
DEVICE = READ_FILE | WRITE_FILE | READ_DIR | IOCTL_DEV
NAMED = READ_FILE | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE
"""Of a folder that many share: files whose names one knows, and no list of them."""

# What each version of the interface knows: rights on files, and scopes.
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_SCOPES_SINCE = 6
_SCOPES = 0b11  # abstract sockets, signals
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_ATTRIBUTES = struct.Struct("=QQQ")
_ATTRIBUTES_BEFORE = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}
_BENEATH = struct.Struct("=Qi")
_PR_SET_NO_NEW_PRIVS = 38


def version() -> int:
    """Return the version of the interface; 0 where there is none."""
    return max(0, syscall(_CREATE_RULESET, None, 0, _VERSION))


def has_scopes(abi: int) -> bool:
    """Return whether signals and abstract sockets are kept in, too."""
    return abi >= _SCOPES_SINCE


def restrict(abi: int, rules: Iterable[tuple[str, int]]) -> None:
    """Restrict this process, from now on, to the paths of `rules`, each with what is allowed there and below.

    Paths that are not there are left out.  It gets no new privileges from then on.  Raises `OSError`.
    """
    rights = _RIGHTS[min(abi, max(_RIGHTS))]
    attributes = _ATTRIBUTES.pack(rights, 0, _SCOPES if has_scopes(abi) else 0)
    size = _ATTRIBUTES_BEFORE.get(abi, _ATTRIBUTES.size)
    ruleset = checked(syscall(_CREATE_RULESET, attributes, size, 0))
    try:
        for path, allowed in rules:
            _allow(ruleset, path, allowed & rights)
        keep_privileges()
        checked(syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def keep_privileges() -> None:
    """Have no program give this process, or what it starts, more rights than it has: `no_new_privs`."""
    checked(prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not there, or not for us: nothing to allow
        return
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            allowed &= _OF_FILES
        if syscall(_ADD_RULE, ruleset, _PATH_BENEATH, _BENEATH.pack(allowed, beneath), 0) < 0:
            code = ctypes.get_errno()
            if code != errno.EBADFD:  # a pipe, say, that is no place in a file system
                raise OSError(code, os.strerror(code), path)
    finally:
        os.close(beneath)
