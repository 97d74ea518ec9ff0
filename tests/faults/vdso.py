"""The time of day of a process that runs, set wrong from outside, whatever program it is and however it was started.

Linux lays a library into every process (`vdso(7)`) that C libraries ask for the time.  Here its three functions that
tell the time of day are led to code in its empty end, which asks the kernel, adds so many seconds, and counts.  So
nothing is preloaded, no program knows of it, what a process forks has the same wrong time, and a program that it
executes has the right one.  Clocks that only count are left as they are: nobody can set those of a machine either.

It counts in the 16 random bytes that the kernel hands to a program for its start, which nobody reads later (`AT_RANDOM`
in `getauxval(3)`): pages of code cannot be written to by the process itself.
"""

import contextlib
import dataclasses
import errno
import functools
import os
import pathlib
import platform
import signal
import struct
import time
from collections.abc import Iterator

import psutil

from tests.servers.process import NotThere

_ROOM = 256
"""Bytes at the end of the library that must be empty."""
_OFFSET, _COUNTED_AT, _CODE = 0, 8, 16
"""Where in them is what."""
_SHT_DYNSYM, _AT_RANDOM = 11, 25
_STANDS_WITHIN_S, _LAID_WITHIN_S = 10.0, 0.2
_JUMP = 5
"""Bytes."""

# The system call, then the seconds are added.  `{offset}` and `{counted}` are relative to what follows.
_ADD_AND_COUNT = "488b15{offset} 48011%s 4885d2 740b 488b15{counted} f048ff02 c3"
_CODES = {
    # mov eax,228; syscall; test eax,eax; jnz ret; cmp edi,5 (coarse); je; test edi,edi; jz; ret
    "__vdso_clock_gettime": "b8e4000000 0f05 85c0 7509 83ff05 7405 85ff 7401 c3" + _ADD_AND_COUNT % 6,
    # mov eax,96; syscall; test eax,eax; jnz ret; test rdi,rdi; jnz; ret
    "__vdso_gettimeofday": "b860000000 0f05 85c0 7505 4885ff 7501 c3" + _ADD_AND_COUNT % 7,
    # mov eax,201; syscall; mov rdx,offset; add rax,rdx; test rdi,rdi; jz; mov [rdi],rax; then as above
    "__vdso_time": "b8c9000000 0f05 488b15{offset} 4801d0 4885ff 7403 488907 4885d2 740b 488b15{counted} f048ff02 c3",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Library:
    """What this kernel lays into every process."""

    bytes: int
    functions: dict[str, int]
    """Where each begins."""


@functools.cache
def library() -> Library:
    """Return what is known of it.  Raises `NotThere` where this cannot be done."""
    if platform.machine() != "x86_64":
        raise NotThere("the time of day of a process is set wrong by code of x86-64 only")
    begin, end = _place(os.getpid())
    with _memory(os.getpid()) as memory:
        image = os.pread(memory, end - begin, begin)
    (sections,) = struct.unpack_from("<Q", image, 0x28)
    size, count = struct.unpack_from("<HH", image, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", image, sections + size * number) for number in range(count)]
    symbols = next(header for header in headers if header[1] == _SHT_DYNSYM)
    names_at = headers[symbols[6]][4]
    functions: dict[str, int] = {}
    for at in range(symbols[4], symbols[4] + symbols[5], 24):
        name_at, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", image, at)
        functions[image[names_at + name_at :].partition(b"\0")[0].decode()] = value
    if any(image[-_ROOM:]) or not functions.keys() >= _CODES.keys():
        raise NotThere("this kernel's library that tells the time is another than is known")
    return Library(len(image), functions)


def set_clock(pid: int, by_s: int) -> None:
    """Have a process, and what it forks from now on, be told a time that is so many seconds fast.

    It stands still for a moment.  Raises `ProcessLookupError` if there is none, and `PermissionError`.
    """
    with _living(pid), _standing(pid), _memory(pid) as memory:
        begin = _begin(pid)
        room = begin + library().bytes - _ROOM
        if not any(_read(memory, _ROOM, room)):
            _lead(memory, pid, begin)
        os.pwrite(memory, struct.pack("<q", by_s), room + _OFFSET)


def clock_of(pid: int) -> int:
    """Return how many seconds fast a process is told the time.  Raises `ProcessLookupError` and `PermissionError`."""
    with _living(pid), _memory(pid) as memory:
        return _number(memory, "<q", _begin(pid) + library().bytes - _ROOM + _OFFSET)


def told_wrong(pid: int) -> int:
    """Return how often a process, or who it was forked from, has asked for the time and was told a wrong one.

    Raises `ProcessLookupError` and `PermissionError`.
    """
    with _living(pid), _memory(pid) as memory:
        at = _number(memory, "<Q", _begin(pid) + library().bytes - _ROOM + _COUNTED_AT)
        return _number(memory, "<Q", at) if at else 0


def _lead(memory: int, pid: int, begin: int) -> None:
    """Write the code, then lead the functions to it."""
    room = library().bytes - _ROOM
    counted_at = _random_at(pid)
    code = struct.pack("<qQ", 0, counted_at)
    jumps: list[tuple[int, bytes]] = []
    for name, words in _CODES.items():
        at = library().functions[name]
        jumps.append((begin + at, b"\xe9" + struct.pack("<i", room + len(code) - at - _JUMP)))
        code += _assembled(words, len(code))
    assert len(code) <= _ROOM
    os.pwrite(memory, struct.pack("<Q", 0), counted_at)
    os.pwrite(memory, code, begin + room)
    for where, jump in jumps:
        os.pwrite(memory, jump, where)


def _assembled(words: str, at: int) -> bytes:
    """Return code that stands `at` in the room."""
    code = b""
    for word in words.replace("{", " {").replace("}", "} ").split():
        if word.startswith("{"):
            code += struct.pack("<i", {"{offset}": _OFFSET, "{counted}": _COUNTED_AT}[word] - at - len(code) - 4)
        else:
            code += bytes.fromhex(word)
    return code


def _place(pid: int) -> tuple[int, int]:
    deadline = time.monotonic() + _LAID_WITHIN_S
    while True:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            if line.endswith("[vdso]"):
                begin, _, end = line.split()[0].partition("-")
                return int(begin, 16), int(end, 16)
        if time.monotonic() > deadline:
            raise ProcessLookupError(pid)  # it has ended; else it has not yet begun
        time.sleep(0.001)


def _begin(pid: int) -> int:
    return _place(pid)[0]


def _random_at(pid: int) -> int:
    found = pathlib.Path(f"/proc/{pid}/auxv").read_bytes()
    return int(dict(struct.iter_unpack("<QQ", found))[_AT_RANDOM])


def _number(memory: int, form: str, at: int) -> int:
    return int(struct.unpack(form, _read(memory, 8, at))[0])


def _read(memory: int, count: int, at: int) -> bytes:
    found = os.pread(memory, count, at)
    if len(found) < count:
        raise ProcessLookupError  # it has ended, and has no memory any more
    return found


@contextlib.contextmanager
def _living(pid: int) -> Iterator[None]:
    """Say it in one way when a process ends in the block."""
    try:
        yield
    except (FileNotFoundError, psutil.NoSuchProcess) as error:
        raise ProcessLookupError(pid) from error
    except OSError as error:
        if error.errno == errno.EIO:  # its memory has gone
            raise ProcessLookupError(pid) from error
        raise


@contextlib.contextmanager
def _memory(pid: int) -> Iterator[int]:
    fd = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _standing(pid: int) -> Iterator[None]:
    """Have a process stand still in the block, outside of the functions; one that stood still before stays so."""
    entries = [_begin(pid) + library().functions[name] for name in _CODES]
    deadline = time.monotonic() + _STANDS_WITHIN_S
    stood = psutil.Process(pid).status() == psutil.STATUS_STOPPED
    try:
        while True:
            os.kill(pid, signal.SIGSTOP)
            while (places := _stand_at(pid)) is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"process {pid} does not stand still")
                time.sleep(0.0005)
            if not any(entry < place < entry + _JUMP for entry in entries for place in places):
                break
            os.kill(pid, signal.SIGCONT)
        yield
    finally:
        if not stood:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _stand_at(pid: int) -> list[int] | None:
    """Return where each thread of a process stands; None while one runs."""
    places = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        said = task.joinpath("stat").read_text().rpartition(")")[2].split()
        if said[0] in "ZX":
            continue
        if said[0] not in "Tt":
            return None
        places.append(int(task.joinpath("syscall").read_text().split()[-1], 16))
    if not places:
        raise ProcessLookupError(pid)
    return places
