"""All that an app needs beside its code and the mesh's packages: packages of its own, and what lies at addresses."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agentmesh.host.packages.asked import Asked, asked

_FETCHED = ("https://", "http://")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one app needs."""

    packages: Asked | None
    urls: tuple[str, ...]
    """Of its `working_dir` and `py_modules`."""

    def places(self, kept: pathlib.Path) -> Iterator[pathlib.Path]:
        """Yield where in `kept`, which has what all apps need, it is or will be."""
        if self.packages is not None:
            yield kept / self.packages.key
        yield from (place_of(url, kept) for url in self.urls)


def place_of(url: str, kept: pathlib.Path) -> pathlib.Path:
    """Return where what lies at an address is kept: a new version of it wants a new address."""
    return kept / f"fetched-{hashlib.sha256(url.encode()).hexdigest()[:32]}"


def needs(
    runtime_env: Mapping[str, Any], folder: pathlib.Path, check: Callable[[str], None] = lambda path: None
) -> Needs | None:
    """Return what a `runtime_env` needs; None if that is nothing.  Arguments and errors are those of `asked`."""
    packages = asked(runtime_env, folder, check)
    urls = tuple(dict.fromkeys(_urls(runtime_env)))
    return Needs(packages=packages, urls=urls) if packages is not None or urls else None


def fetched(runtime_env: Mapping[str, Any], paths: Mapping[str, pathlib.Path]) -> dict[str, Any]:
    """Return a `runtime_env` with the folders that were fetched in the place of their addresses."""

    def place(value: Any) -> Any:
        return str(paths[value]) if isinstance(value, str) and value in paths else value

    found = {**runtime_env}
    if "working_dir" in found:
        found["working_dir"] = place(found["working_dir"])
    if isinstance(found.get("py_modules"), list):
        found["py_modules"] = [place(value) for value in found["py_modules"]]
    return found


def _urls(runtime_env: Mapping[str, Any]) -> Iterator[str]:
    """Yield the addresses that can be fetched; what is of another form is left to who applies it."""
    if not isinstance(runtime_env, Mapping):
        return
    modules = runtime_env.get("py_modules")
    for value in (runtime_env.get("working_dir"), *(modules if isinstance(modules, list) else ())):
        if isinstance(value, str) and value.startswith(_FETCHED):
            yield value
