"""Seccomp: system calls that no app needs, and that are ways into other processes or into the kernel, fail.

A list of what is denied, not of what is allowed: apps bring native code of all sorts.  The program is in the kernel's
own language (https://docs.kernel.org/userspace-api/seccomp_filter.html), made of plain numbers, so that nothing has to
be installed for it.  It is inherited, so the zygote enters it once for all jobs.
"""

import ctypes
import errno
import os
import struct
import sys

from agentmesh.host.confine.kernel import checked, prctl

# Names, with their numbers on x86-64 and on what has the kernel's common table (ARM64).
_DENIED = {
    # into other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    "lookup_dcookie": (212, 18),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # into the kernel
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "nfsservctl": (180, 42),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    # what the machine is
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # what it looks like
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "setns": (308, 268),
    "unshare": (272, 97),
}
# glibc asks this first for a thread, and takes `clone`, whose flags can be looked at, where it is not there.
_CLONE3 = (435, 435)
_CLONE = (56, 220)
_IOCTL = (16, 29)
_SOCKET = (41, 198)
# setuid, -gid, -reuid, -regid, -resuid, -resgid, -fsuid, -fsgid, each with how many users or groups it names.
_IDENTITIES = (
    ((105, 146), 1),
    ((106, 144), 1),
    ((113, 145), 2),
    ((114, 143), 2),
    ((117, 147), 3),
    ((119, 149), 3),
    ((122, 151), 1),
    ((123, 152), 1),
)
_SETGROUPS = (116, 159)
_UNCHANGED = 0xFFFF_FFFF
_NEW_NAMESPACES = 0x7E02_0000  # CLONE_NEWNS, -CGROUP, -UTS, -IPC, -USER, -PID and -NET
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: to type into somebody's terminal
_FAMILIES = (17, 38, 40)  # AF_PACKET, AF_ALG, AF_VSOCK

_ARCHITECTURES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}
"""By machine: which of the numbers are its own, and what the kernel calls it."""
_X32 = 0x4000_0000
"""A second table of numbers on x86-64, from here on."""

_LOAD, _IF_EQUAL, _IF_MORE, _IF_AT_LEAST, _IF_ANY, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
"""Where a call's number, its architecture, and its first two arguments are."""
_ALLOW, _FAIL, _KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
_STEP = struct.Struct("=HBBI")
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def compile_program(machine: str = "", users: tuple[int, int] | None = None) -> bytes:
    """Return the program for `machine`, by default this one; empty where there is none.

    With `users`, no process becomes another user than from the first to the second of them, whatever it may.

    It stays off where Python is not what the machine is: a 32-bit program on a 64-bit kernel has other numbers.
    """
    machine = machine or os.uname().machine
    if machine not in _ARCHITECTURES or not sys.platform.startswith("linux") or sys.maxsize < 1 << 32:
        return b""
    column, architecture = _ARCHITECTURES[machine]
    fail = _FAIL | errno.EPERM
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_IF_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        steps += [_step(_IF_AT_LEAST, _X32, 0, 1), _step(_RETURN, _FAIL | errno.ENOSYS)]
    for numbers in _DENIED.values():
        if (number := numbers[column]) is not None:
            steps += [_step(_IF_EQUAL, number, 0, 1), _step(_RETURN, fail)]
    steps += [_step(_IF_EQUAL, _CLONE3[column], 0, 1), _step(_RETURN, _FAIL | errno.ENOSYS)]
    steps += _on(_CLONE[column], _FIRST, [_step(_IF_ANY, _NEW_NAMESPACES, 0, 1), _step(_RETURN, fail)])
    if users is not None:
        for numbers, count in _IDENTITIES:
            checks = [step for number in range(count) for step in _in_range(_FIRST + 8 * number, *users)]
            steps += [_step(_IF_EQUAL, numbers[column], 0, len(checks) + 1), *checks, _step(_RETURN, _ALLOW)]
        steps += _on(_SETGROUPS[column], _FIRST, [_step(_IF_EQUAL, 0, 1, 0), _step(_RETURN, fail)])
    for offset, numbers, refused in ((_SECOND, _IOCTL, _TERMINAL_INPUT), (_FIRST, _SOCKET, _FAMILIES)):
        checks = [step for value in refused for step in (_step(_IF_EQUAL, value, 0, 1), _step(_RETURN, fail))]
        steps += _on(numbers[column], offset, checks)
    steps.append(_step(_RETURN, _ALLOW))
    return b"".join(steps)


def enter(program: bytes) -> None:
    """Hold this process, and what it starts, to `program`.  It must have no new privileges.  Raises `OSError`."""
    known = _Program(len(program) // _STEP.size, program)
    checked(prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(known), 0, 0))


def _on(number: int, argument: int, checks: list[bytes]) -> list[bytes]:
    """Return steps that look at an argument of a call, and let the call pass that no check stops."""
    inner = [_step(_LOAD, argument), *checks, _step(_RETURN, _ALLOW)]
    return [_step(_IF_EQUAL, number, 0, len(inner)), *inner]


def _in_range(argument: int, first: int, last: int) -> list[bytes]:
    """Return steps that let pass an argument from `first` to `last`, or one that says "as it is"."""
    return [
        _step(_LOAD, argument),
        _step(_IF_EQUAL, _UNCHANGED, 3, 0),
        _step(_IF_AT_LEAST, first, 0, 1),
        _step(_IF_MORE, last, 0, 1),
        _step(_RETURN, _FAIL | errno.EPERM),
    ]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return _STEP.pack(code, if_true, if_false, value)
