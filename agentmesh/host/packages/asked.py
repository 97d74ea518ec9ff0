"""What packages a `runtime_env` asks for, and by what name the environment that has them is known.

The forms are those of Ray: `pip` and `uv` are a list of requirements, the path of a requirements file, or a mapping
with `packages`, which is either; and `requirements` is such a path or list, too.  Lines are those that pip documents
(https://pip.pypa.io/en/stable/reference/requirements-file-format/), but for options that would not install into an
environment.  Files are read here, once: what is installed is what the name was made of.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import sys
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

KEYS = ("pip", "uv", "requirements")
_OPTIONS = {"pip": "pip_install_options", "uv": "uv_pip_install_options"}
_LINES_MAX = 2_000
_FILE_BYTES_MAX = 1024 * 1024
_DEPTH_MAX = 5
_ENTRIES_MAX = 200_000
_BYTES_MAX = 8 * 1024**3
# With what they say: one value, or none.
_VALUED = (
    *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host", "--no-binary", "--only-binary"),
    *("--index-strategy", "--timeout", "--retries", "--use-feature"),
)
_BARE = (
    *("--no-index", "--pre", "--prefer-binary", "--require-hashes", "--no-deps", "--no-build-isolation", "--upgrade"),
)
# Which of them no requirements file may have.
_FLAGS = ("--no-deps", "--no-build-isolation", "--upgrade", "--index-strategy", "--timeout", "--retries")
# What bootstraps say, as Ray's documents do, and what holds in any case or is about words and colours.
_IDLE = (
    *("--no-cache-dir", "--no-cache", "--disable-pip-version-check", "--no-input", "--no-warn-script-location"),
    *("--root-user-action", "--progress-bar", "--no-progress", "--no-color", "--quiet", "--verbose"),
)
_SHORT = {
    "-i": "--index-url",
    "-f": "--find-links",
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-U": "--upgrade",
    "-q": "--quiet",
    "-v": "--verbose",
}
_COMMENT = re.compile(r"(^|\s+)#.*$")
_SECRET = re.compile(r"(?<=://)[^/\s?#]+(?=@)|(?<=\?)[^\s?#'\"<>]+=[^\s#'\"<>]*")
"""Of an address: the user, and a query, which signs addresses of stores of files."""
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an app asks for."""

    lines: tuple[str, ...]
    """Of a requirements file: requirements and options; what they name on this machine is absolute."""
    constraints: tuple[str, ...] = ()
    """Of a constraints file: the app's, and what the mesh's own code, which loads the app, needs."""
    paths: tuple[str, ...] = ()
    """Absolute paths on this machine that whoever installs it reads."""
    digests: tuple[str, ...] = ()
    """Of what lies at them."""

    @property
    def count(self) -> int:
        """How many requirements there are."""
        return sum(not line.startswith("-") for line in self.lines)

    @property
    def listed(self) -> tuple[str, ...]:
        """The lines that a requirements file may have."""
        return tuple(line for line in self.lines if _split(line)[0] not in _FLAGS)

    @property
    def flags(self) -> tuple[str, ...]:
        """The others, as arguments of the installer."""
        return tuple(word for line in self.lines if _split(line)[0] in _FLAGS for word in line.split(" ", 1))

    @property
    def key(self) -> str:
        """The name of the environment: the same for the same packages, in the same Python and mesh."""
        python = (sys.implementation.cache_tag, platform.machine(), sys.prefix, sys.base_prefix)
        said = [python, sorted(set(self.lines)), sorted(set(self.constraints)), self.digests]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def hidden(text: str) -> str:
    """Return a text without the credentials of addresses in it."""
    return _SECRET.sub("[REDACTED]", text)


def asked(
    runtime_env: Mapping[str, Any], folder: pathlib.Path, check: Callable[[str], None] = lambda path: None
) -> Asked | None:
    """Return what a `runtime_env` asks for; None if that is nothing.

    Relative paths are those of `folder`, or of the `working_dir` if that is a folder.  `check` raises `ValueError` for
    what may not be read.  Raises `ValueError`, naming the
    key, for what is not of the right form or not there.
    """
    if not isinstance(runtime_env, Mapping):  # said where it is applied
        return None
    given = [key for key in KEYS if runtime_env.get(key)]
    if not given:
        return None
    if len(given) > 1:
        raise ValueError(f"runtime_env has both {given[0]} and {given[1]}: say one of them")
    (key,) = given
    working_dir = runtime_env.get("working_dir")
    if isinstance(working_dir, str) and working_dir and "://" not in working_dir:
        folder = folder / working_dir
    value, options = runtime_env[key], []
    if isinstance(value, Mapping):
        options = _options(value.get(_OPTIONS.get(key, "")), f"runtime_env.{key}")
        value = value.get("packages")
    reader = _Reader(f"runtime_env.{key}", check)
    if isinstance(value, str):
        reader.file(folder / value, reader.lines)
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        reader.read(value, folder, reader.lines)
    else:
        raise ValueError(f"runtime_env.{key} must be a list of requirements, or the path of a requirements file")
    reader.read(options, folder, reader.lines)
    if not any(not line.startswith("-") for line in reader.lines):
        return None
    return Asked(
        lines=tuple(reader.lines),
        constraints=(*reader.constraints, *_ours()),
        paths=tuple(dict.fromkeys(reader.paths)),
        digests=tuple(_digests(sorted(set(reader.paths)), f"runtime_env.{key}")),
    )


def _options(said: Any, where: str) -> list[str]:
    """Return options of a command line as lines of a requirements file."""
    if said is None:
        return []
    if not isinstance(said, list) or not all(isinstance(each, str) for each in said):
        raise ValueError(f"{where}: its options must be a list of texts")
    lines: list[str] = []
    for each in said:
        if each.startswith("-") or not lines:
            lines.append(each)
        else:
            lines[-1] += f" {each}"
    return lines


class _Reader:
    def __init__(self, where: str, check: Callable[[str], None]) -> None:
        self._where = where
        self._check = check
        self.lines: list[str] = []
        self.constraints: list[str] = []
        self.paths: list[str] = []

    def file(self, path: pathlib.Path, into: list[str], depth: int = 0) -> None:
        if depth > _DEPTH_MAX:
            raise ValueError(f"{self._where}: {path} is named by too many files, one by the other")
        self._check(str(path))
        try:
            if path.stat().st_size > _FILE_BYTES_MAX:
                raise ValueError(f"{self._where}: {path} is longer than {_FILE_BYTES_MAX} bytes")
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"{self._where}: {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{self._where}: {path} is not UTF-8") from None
        self.paths.append(os.path.abspath(path))
        self.read(text.replace("\\\n", " ").splitlines(), path.parent, into, depth + 1)

    def read(self, lines: list[str], folder: pathlib.Path, into: list[str], depth: int = 0) -> None:
        for raw in lines:
            line = _COMMENT.sub("", raw).strip()
            if len(self.lines) + len(self.constraints) >= _LINES_MAX:
                raise ValueError(f"{self._where}: there are more than {_LINES_MAX} lines")
            if "\n" in line or "\r" in line:
                raise ValueError(f"{self._where}: a requirement is one line")
            if line.startswith("-"):
                self._option(line, folder, into, depth)
            elif line:
                into.append(self._requirement(line, folder))

    def _option(self, line: str, folder: pathlib.Path, into: list[str], depth: int) -> None:
        name, value = _split(line)
        if name == "--requirement" and value:
            self.file(folder / value, into, depth)
        elif name == "--constraint" and value:
            self.file(folder / value, self.constraints, depth)
        elif name == "--find-links" and value and "://" not in value:
            into.append(f"{name} {self._path(folder / value)}")
        elif name in _IDLE:
            return
        elif name in _BARE and not value:
            into.append(name)
        elif name in _VALUED and value:
            if value.startswith("file://"):
                self._path(pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(value).path)))
            into.append(f"{name} {value}")
        else:
            raise ValueError(f"{self._where}: the option {name} is not known: there are {', '.join(_known())}")

    def _requirement(self, line: str, folder: pathlib.Path) -> str:
        """Return a requirement; one that is a file or folder of this machine with its whole path."""
        _, at, address = line.partition(" @ ")
        place = (address if at else line).split(";")[0].split(" ")[0].strip()
        path, extras, rest = place.partition("[")
        if path.startswith("file://"):
            self._path(pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(path).path)))
            return line
        if "://" in path or at or not (path.startswith((".", "/", "~")) or path.lower().endswith(_ARCHIVES)):
            return line
        found = self._path(folder / os.path.expanduser(path))
        return f"{found}{extras}{rest}{line[len(place) :]}"

    def _path(self, path: pathlib.Path) -> str:
        found = os.path.abspath(path)
        self._check(found)
        if not os.path.exists(found):
            raise ValueError(f"{self._where}: {found} is not on this machine")
        self.paths.append(found)
        return found


def _ours() -> Iterator[str]:
    """Yield what the mesh's own code needs: nothing else may be installed in its place."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for line in importlib.metadata.requires("agentmesh") or ():
            if "extra ==" not in line:
                yield re.sub(r"\[[^]]*\]", "", line)  # constraints have no extras


def _split(line: str) -> tuple[str, str]:
    """Return the name of an option, in its long form, and its value."""
    if line.startswith("--"):
        name, _, value = re.sub(r"[=\s]", " ", line, count=1).partition(" ")
    else:
        name, value = line[:2], line[2:].lstrip("= ")
    return _SHORT.get(name, name), value.strip()


def _known() -> Iterator[str]:
    yield from ("--requirement", "--constraint")
    yield from (name for name in (*_VALUED, *_BARE) if name.startswith("--"))


def _digests(paths: Iterable[str], where: str) -> Iterator[str]:
    """Yield what changes when a file, or what is in a folder, does.  Raises `ValueError` if that is too much."""
    entries = size = 0
    for path in paths:
        if os.path.isfile(path):
            size += os.path.getsize(path)
            if size > _BYTES_MAX:
                raise ValueError(f"{where}: the files that it names have more than {_BYTES_MAX} bytes")
            with open(path, "rb") as file:
                yield hashlib.file_digest(file, "sha256").hexdigest()
            continue
        found = hashlib.sha256(os.fsencode(path))
        for top, folders, files in os.walk(path):
            entries += len(folders) + len(files)
            if entries > _ENTRIES_MAX:
                raise ValueError(f"{where}: there are more than {_ENTRIES_MAX} files and folders in {path}")
            folders.sort()
            for name in sorted(files):
                fact = os.lstat(os.path.join(top, name))
                found.update(os.fsencode(f"{top}/{name} {fact.st_size} {fact.st_mtime_ns}\n"))
        yield found.hexdigest()
