"""Which files an app and its jobs get: what programs need, the app's own, and a folder to write to.

An allow-list cannot leave out a part of a folder.  So where a folder that is allowed holds one that is not - the data
folder lies by default in the one that the mesh was started in - what is beside that one is allowed by name.
"""

import functools
import glob
import os
import pathlib
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentmesh.host.confine.landlock import DEVICE, NAMED, READ, READ_DIR, WRITE

Rules = list[tuple[str, int]]
"""Paths, each with what is allowed there and below."""

_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store")
_FACTS = (
    "/proc",  # what others do is kept from us by the kernel's rule on whom one may look into
    "/sys/devices",
    "/sys/class",
    "/sys/bus",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/nscd",
    "/run/opengl-driver",
    "/var/cache/fontconfig",
    "/var/lib/ca-certificates",
    "/var/lib/texmf",
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts")
_ACCELERATORS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/accel*", "/dev/davinci*")
# Of certificates and libraries: what these name is read by libraries, wherever it lies.
_NAMING = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_SEARCHED = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


def readable(
    runtime_env: Mapping[str, Any],
    private: Iterable[str],
    environ: Mapping[str, str],
    own: Iterable[str] = (),
) -> Rules:
    """Return what an app and each of its jobs may read, and the devices that they may write to.

    `private` are absolute paths that nothing here may open: what is allowed around them goes around them.  `own` are
    the app's, and may lie in one that is private.
    """
    hidden = frozenset(os.path.realpath(path) for path in private)
    rules: Rules = [(path, READ) for path in (*_PROGRAMS, *_FACTS, *public("/etc"))]
    rules += [(path, DEVICE) for path in (*_DEVICES, *(each for sort in _ACCELERATORS for each in glob.glob(sort)))]
    rules.append(("/dev/shm", NAMED))
    named = [*_python(), *_named_by(environ), *_folders_of(runtime_env), *own]
    for path in dict.fromkeys(os.path.abspath(path) for path in named):
        rules += _around(path, hidden)
    return rules


def named(paths: Iterable[str], allowed: int, private: Iterable[str]) -> Rules:
    """Return rules for paths that an expose names.  Raises as `refuse`."""
    found = list(paths)
    refuse(found, private)
    return [(path, allowed) for path in found]


def refuse(paths: Iterable[str], private: Iterable[str]) -> None:
    """Raise `ValueError` if one of `paths` lies in what is private, or holds it."""
    hidden = [os.path.realpath(path) for path in private]
    for path in paths:
        real = os.path.realpath(path)
        for each in hidden:
            if real == each or _is_below(real, each) or _is_below(each, real):
                raise ValueError(f"paths: {path} reaches into the mesh's own folders")


def beside(folder: str, readable: Rules) -> Rules:
    """Return few rules that allow, to whoever is held to `readable` already, all of that but what is in `folder`."""
    folder = os.path.realpath(folder)
    top = "/" + folder.split("/")[1]
    real = {path: os.path.realpath(path) for path, _ in readable}
    tops = {"/" + path.split("/")[1] for each in real.items() for path in each} - {"/", top}
    # Of the root itself no more than its names is allowed, if that.
    inside = [rule for rule in readable if real[rule[0]].startswith(top + "/") or real[rule[0]] in ("/", top)]
    return [(path, WRITE) for path in sorted(tops)] + inside


@functools.cache
def public(folder: str) -> tuple[str, ...]:
    """Return the fewest paths that hold what everybody may read in `folder`, and nothing else."""
    whole, found = _public(folder)
    return (folder,) if whole else tuple(found)


def _public(folder: str) -> tuple[bool, list[str]]:
    found: list[str] = []
    whole = True
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return False, []
    for entry in entries:
        if entry.is_symlink():  # what it leads to is allowed where that lies, or is not
            continue
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            is_whole, below = _public(entry.path) if mode & 0o005 == 0o005 else (False, [])
            found += [entry.path] if is_whole else below
            whole = whole and is_whole
        elif mode & 0o004:
            found.append(entry.path)
        else:
            whole = False
    return whole, found


@functools.cache
def _python() -> tuple[str, ...]:
    """Return where this interpreter, what is installed for it, and what is on its path lie.

    To look for it touches every module, and so copies their pages into the process that does it in a fork.
    """
    found = [*{sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}]
    found.append(os.path.dirname(os.path.realpath(sys.executable)))
    found += (path or os.getcwd() for path in sys.path)
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):  # how setuptools installs a folder that is worked on
            found += (os.path.dirname(path) for path in getattr(module, "MAPPING", {}).values())
    return tuple(found)


def _named_by(environ: Mapping[str, str]) -> Iterator[str]:
    for name in _NAMING:
        if path := environ.get(name):
            yield path
    for name in _SEARCHED:
        yield from filter(None, environ.get(name, "").split(os.pathsep))


def _folders_of(runtime_env: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an expose names; what is not of the right form is refused where it is applied."""
    if isinstance(folder := runtime_env.get("working_dir"), str) and folder:
        yield folder
    modules = runtime_env.get("py_modules")
    for path in modules if isinstance(modules, list) else ():
        if isinstance(path, str) and "://" not in path:
            is_package = (pathlib.Path(path) / "__init__.py").exists()
            yield os.path.dirname(os.path.abspath(path)) if is_package else path


def _around(path: str, private: frozenset[str]) -> Rules:
    """Return rules that allow to read `path`, but for what is private there."""
    real = os.path.realpath(path)
    if real in private:
        return []
    home = os.path.realpath(os.path.expanduser("~"))
    if not any(_is_below(each, real) for each in (*private, home)) and real != home:
        return [(path, READ)]
    # The names of what is private can be read then: the import system must be able to list the folder.
    rules: Rules = [(path, READ_DIR)]
    try:
        entries = list(os.scandir(real))
    except OSError:
        return []
    for entry in entries:
        # In a home, keys and caches are in hidden folders.
        if not (entry.name.startswith(".") and (real == home or entry.is_dir())):
            rules += _around(entry.path, private)
    return rules


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
