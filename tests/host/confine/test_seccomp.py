"""The filter of system calls, as a program of the kernel's."""

import struct

import pytest

from agentmesh.host.confine import seccomp

_STEP = struct.Struct("=HBBI")
ALLOW, ENOSYS, EPERM, KILL = 0x7FFF_0000, 0x0005_0026, 0x0005_0001, 0x8000_0000
X86, ARM, I386 = 0xC000_003E, 0xC000_00B7, 0x4000_0003


def answer(program: bytes, number: int, *arguments: int, architecture: int = X86) -> int:
    """Run a program on a call, as the kernel would; return what it returns."""
    words = {0: number, 4: architecture}
    words.update({16 + 8 * index: value & 0xFFFF_FFFF for index, value in enumerate((*arguments, *(0,) * 6)[:6])})
    steps = list(_STEP.iter_unpack(program))
    at = value = 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        match code:
            case 0x20:
                value = words[operand]
            case 0x06:
                return int(operand)
            case _:
                tests = {
                    0x15: value == operand,
                    0x25: value > operand,
                    0x35: value >= operand,
                    0x45: bool(value & operand),
                }
                at += if_true if tests[code] else if_false


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ((0,), ALLOW),  # read
        ((101,), EPERM),  # ptrace
        ((425,), EPERM),  # io_uring_setup
        ((435,), ENOSYS),  # clone3
        ((56, 0x11), ALLOW),  # clone, as fork does
        ((56, 0x3D0F00), ALLOW),  # clone, as a thread
        ((56, 0x1000_0011), EPERM),  # clone into a user namespace
        ((16, 0, 0x5401), ALLOW),  # ioctl
        ((16, 0, 0x5412), EPERM),  # TIOCSTI
        ((41, 1), ALLOW),  # a unix socket
        ((41, 17), EPERM),  # a raw one
        ((0x4000_0000,), ENOSYS),  # read of the x32 table
        ((105, 0), ALLOW),  # setuid
    ],
)
def test_calls_are_told_apart(call: tuple[int, ...], found: int) -> None:
    """By number, and where that is not enough by arguments."""
    assert found == answer(seccomp.compile_program("x86_64"), *call)


def test_other_machines_have_other_numbers() -> None:
    """And one that is not known has no program."""
    program = seccomp.compile_program("aarch64")

    assert [EPERM, ALLOW, EPERM] == [answer(program, number, architecture=ARM) for number in (117, 101, 97)]
    assert KILL == answer(program, 117, architecture=X86)
    assert KILL == answer(seccomp.compile_program("x86_64"), 101, architecture=I386)
    assert b"" == seccomp.compile_program("mips")


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ((105, 5000), ALLOW),
        ((105, 5127), ALLOW),
        ((105, 0), EPERM),
        ((105, 5128), EPERM),
        ((117, 5001, 5001, 5001), ALLOW),
        ((117, 5001, 5001, 0), EPERM),
        ((117, -1, 5001, -1), ALLOW),
        ((119, 0, 5001, 5001), EPERM),
        ((113, -1, 0), EPERM),
        ((122, 0), EPERM),
        ((116, 0), ALLOW),
        ((116, 1), EPERM),
        ((0,), ALLOW),
        ((41, 17), EPERM),
    ],
)
def test_users_are_those_of_the_host(call: tuple[int, ...], found: int) -> None:
    """In each place of each call that names some; `-1` leaves one as it is."""
    assert found == answer(seccomp.compile_program("x86_64", users=(5000, 5127)), *call)
