"""Calls of the kernel that Python has no name for."""

import ctypes
import errno
import os
import sys

# Looked up before any fork: dlopen in a child of a busy parent may wait for a lock that nobody holds any more.
_libc = ctypes.CDLL(None, use_errno=True)
_IS_LINUX = sys.platform == "linux"
_PRCTL_ARGUMENTS = 4

Argument = int | bytes | None


def syscall(number: int, *arguments: Argument) -> int:
    """Make a system call of Linux; -1 if it fails or this is no Linux, and then `ctypes.get_errno` says why."""
    if not _IS_LINUX:
        ctypes.set_errno(errno.ENOSYS)
        return -1
    return int(_libc.syscall(ctypes.c_long(number), *map(_word, arguments)))


def prctl(option: int, *arguments: Argument) -> int:
    """As `syscall`, of `prctl`; arguments that are not said are 0."""
    if not _IS_LINUX:
        ctypes.set_errno(errno.ENOSYS)
        return -1
    words = (*arguments, *(0,) * (_PRCTL_ARGUMENTS - len(arguments)))
    return int(_libc.prctl(option, *map(_word, words)))


def checked(result: int) -> int:
    """Return what a call returned.  Raises `OSError` if that says that it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _word(argument: Argument) -> ctypes.c_long | ctypes.c_char_p:
    return ctypes.c_long(argument) if isinstance(argument, int) else ctypes.c_char_p(argument)
