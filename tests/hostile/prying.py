"""Flows that try to be more than a job: each attempt says how it went, `done` or the name of the kernel's refusal."""

import ctypes
import errno
import fcntl
import functools
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from agentmesh import ServeAPI, Tracer

app = ServeAPI()
DONE = "done"


def tried(attempt: Callable[[], Any]) -> str:
    """Return how an attempt went."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    return DONE


def _write(path: str) -> None:
    with open(path, "w") as file:
        file.write("by a job")


def _files(path: str) -> dict[str, Callable[[], Any]]:
    """Return what can be tried with a file."""
    folder = os.path.dirname(path)
    return {
        "read": pathlib.Path(path).read_bytes,
        "write": lambda: os.close(os.open(path, os.O_WRONLY)),
        "append": lambda: os.close(os.open(path, os.O_WRONLY | os.O_APPEND)),
        "truncate": lambda: os.truncate(path, 0),
        "remove": lambda: os.remove(path),
        "rename": lambda: os.rename(path, path + ".away"),
        "take": lambda: os.rename(path, "taken"),
        "link": lambda: os.link(path, "linked"),
        "make beside": lambda: _write(f"{folder}/made"),
        "make a folder beside": lambda: os.mkdir(f"{folder}/folder"),
        "put a link beside": lambda: os.symlink("/etc/passwd", f"{folder}/link"),
        "by a symbolic link": lambda: _by_link(path),
        "by the root of a process": pathlib.Path("/proc/self/root" + path).read_bytes,
        "by its folder": lambda: _by_folder(path),
        "by a program": lambda: _by_program(path),
    }


def _by_link(path: str) -> None:
    if not os.path.islink("symbolic"):
        os.symlink(path, "symbolic")
    pathlib.Path("symbolic").read_bytes()


def _by_folder(path: str) -> None:
    folder = os.open(os.path.dirname(path), os.O_PATH)
    os.close(os.open(os.path.basename(path), os.O_RDONLY, dir_fd=folder))


def _by_program(path: str) -> None:
    if subprocess.run(["cat", path], capture_output=True, check=False).returncode:
        raise PermissionError(errno.EACCES, "cat")


def pry(inputs: dict[str, Any], tracer: Tracer) -> dict[str, str]:
    """Try everything with a file that is not ours."""
    os.chdir(os.environ["TMPDIR"])
    return {name: tried(attempt) for name, attempt in _files(inputs["path"]).items()}


def pry_into(inputs: dict[str, Any], tracer: Tracer) -> dict[str, str]:
    """Try to look into a process, and to end it."""
    pid = inputs["pid"]
    return {
        "environment": tried(pathlib.Path(f"/proc/{pid}/environ").read_bytes),
        "memory": tried(lambda: open(f"/proc/{pid}/mem", "rb").close()),
        "maps": tried(pathlib.Path(f"/proc/{pid}/maps").read_bytes),
        "descriptors": tried(lambda: os.listdir(f"/proc/{pid}/fd")),
        "root": tried(lambda: os.listdir(f"/proc/{pid}/root/")),
        "folder": tried(lambda: os.listdir(f"/proc/{pid}/cwd/")),
        "signal": tried(lambda: os.kill(pid, signal.SIGCONT)),
        "oom": tried(lambda: _write(f"/proc/{pid}/oom_score_adj")),
        "affinity": tried(lambda: os.sched_setaffinity(pid, {0})),
        "nice": tried(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)),
    }


def reach(inputs: dict[str, Any], tracer: Tracer) -> dict[str, str]:
    """Try to connect to sockets of this machine."""

    return {address: tried(functools.partial(_connect, address)) for address in inputs["addresses"]}


def _connect(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(address)


def descriptors(inputs: dict[str, Any], tracer: Tracer) -> list[str]:
    """Return what is open, by what it is."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}").split(":")[0])
        except OSError:  # that of the list itself
            continue
    return sorted(found)


def whereabouts(inputs: dict[str, Any], tracer: Tracer) -> dict[str, Any]:
    """Tell where a job is, and wait until it is answered."""
    tracer.debug_sync(f"{os.getpid()} {os.getppid()} {os.environ['TMPDIR']}")
    pathlib.Path(os.environ["TMPDIR"], "mine").write_text("a neighbour's")
    tracer.lock_sync("ask")
    return {"mine": pathlib.Path(os.environ["TMPDIR"], "mine").read_text(), "argv": sys.argv[:1]}


@app.lock("ask")
def ask(data: dict[str, Any]) -> Any:
    """Ask nothing."""
    from agentmesh import forms

    return forms.Model(forms.InputText(label="A", name="a"))


def who(inputs: dict[str, Any], tracer: Tracer) -> dict[str, Any]:
    """Tell what the kernel says of this process."""
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    said = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    return {
        name: said[name] for name in ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapEff", "CapPrm", "CapBnd")
    }


_NAMESPACES = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000}
_MS_BIND, _TIOCSTI, _PTRACE_ATTACH = 4096, 0x5412, 16


def calls(inputs: dict[str, Any], tracer: Tracer) -> dict[str, str]:
    """Make calls of the kernel that are ways out."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: Any) -> None:
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    def number(*arguments: int) -> None:
        if libc.syscall(*map(ctypes.c_long, arguments)) < 0:
            raise OSError(ctypes.get_errno(), "syscall")

    parent = os.getppid()
    iovec = (ctypes.c_char * 16)()
    found = {
        "ptrace": tried(lambda: call("ptrace", _PTRACE_ATTACH, parent, None, None)),
        "process_vm_readv": tried(lambda: call("process_vm_readv", parent, iovec, 1, iovec, 1, 0)),
        "pidfd_getfd": tried(lambda: number(438, os.pidfd_open(os.getpid()), 0, 0)),
        "mount": tried(lambda: call("mount", b"/tmp", b"/tmp", None, _MS_BIND, None)),
        "chroot": tried(lambda: os.chroot("/")),
        "setns": tried(lambda: call("setns", os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)),
        "keyctl": tried(lambda: call("syscall", 250, 0, -3, 0)),
        "io_uring": tried(lambda: number(425, 1, 0)),
        "userfaultfd": tried(lambda: number(323, 0)),
        "bpf": tried(lambda: number(321, 0, 0, 0)),
        "clone3": tried(lambda: number(435, 0, 0)),
        "raw socket": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
        "crypto socket": tried(lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close()),
        "terminal": tried(lambda: fcntl.ioctl(0, _TIOCSTI, b"x")),
        "root": tried(lambda: os.setuid(0)),
        "another user": tried(lambda: os.setresuid(1000, 1000, 1000)),
        "an app's user": tried(lambda: os.setresuid(os.getuid() - 1, os.getuid() - 1, os.getuid() - 1)),
        "groups": tried(lambda: os.setgroups([0])),
        "owner": tried(lambda: os.chown(os.environ["TMPDIR"], 0, 0)),
        "device": tried(lambda: os.mknod(os.environ["TMPDIR"] + "/disk", 0o60600, os.makedev(8, 0))),
        "time": tried(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
        "host name": tried(lambda: socket.sethostname("ours")),
    }
    for name, flag in _NAMESPACES.items():
        found[f"{name} namespace"] = tried(functools.partial(call, "unshare", flag))
    return found
