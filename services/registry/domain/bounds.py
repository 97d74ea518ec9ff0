"""What a bootstrap says of how much a job may take (`limits`), and of what it may reach (`paths`)."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from meshkit.errors import Invalid

_MIB = 1024 * 1024
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4} | {
    f"{prefix}i": 1024**power for power, prefix in enumerate("KMGT", 1)
}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]i?|)B?", re.IGNORECASE)
# With less, not even a job that does nothing comes to its end.
_LEAST = {"memory": 64 * _MIB, "processes": 8, "files": 64, "file_size": _MIB}
_MOST = {"memory": 1 << 50, "processes": 1 << 22, "files": 1 << 20, "file_size": 1 << 50}
_PATHS_MAX = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much each job of an app may take, and what it may reach beside its own folder; 0 takes the host's default."""

    memory_bytes: int = 0
    processes: int = 0
    """Threads count as well."""
    open_files: int = 0
    file_bytes: int = 0
    read_paths: tuple[str, ...] = ()
    """Absolute."""
    write_paths: tuple[str, ...] = ()
    """Absolute; they may be read, too."""


UNBOUNDED = Bounds()


def read(document: Mapping[str, Any]) -> Bounds:
    """Return what a bootstrap bounds.  Raises `Invalid`, naming the field."""
    limits = _section(document, "limits", tuple(_LEAST))
    paths = _section(document, "paths", ("read", "write"))
    return Bounds(
        memory_bytes=_size(limits, "memory"),
        processes=_count(limits, "processes"),
        open_files=_count(limits, "files"),
        file_bytes=_size(limits, "file_size"),
        read_paths=_paths(paths, "read"),
        write_paths=_paths(paths, "write"),
    )


def _section(document: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    found = document.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _refusal(name, f"must be a mapping of {', '.join(known)}")
    for key in found:
        if key not in known:
            raise _refusal(f"{name}.{key}", f"is not known: there are {', '.join(known)}")
    return found


def _size(limits: Mapping[str, Any], name: str) -> int:
    value = limits.get(name)
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        unit = match[2].upper().replace("I", "i")
        value = int(float(match[1]) * _UNITS[unit])
    return _bounded(value, name, "bytes, such as 2GiB")


def _count(limits: Mapping[str, Any], name: str) -> int:
    return _bounded(limits.get(name), name, "a whole number")


def _bounded(value: Any, name: str, what: str) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not _LEAST[name] <= value <= _MOST[name]:
        raise _refusal(f"limits.{name}", f"must be {what}, from {_LEAST[name]} to {_MOST[name]}")
    return value


def _paths(paths: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = paths.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or len(found) > _PATHS_MAX:
        raise _refusal(f"paths.{name}", f"must be a list of at most {_PATHS_MAX} absolute paths")
    for path in found:
        if not isinstance(path, str) or not path.startswith("/") or "\0" in path or not path.strip("/"):
            raise _refusal(f"paths.{name}", f"{path!r} is no absolute path below /")
    return tuple(found)


def _refusal(field: str, why: str) -> Invalid:
    return Invalid(f"{field} of the bootstrap {why}", {field: [why]})
