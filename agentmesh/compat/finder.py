"""The finders behind `install`."""

import importlib
import importlib.abc
import importlib.machinery
import logging
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence

from agentmesh.compat import kodosumi_shim, late, own_ray, ray_shim

ALIASES_VARIABLE = "AGENTMESH_IMPORT_ALIASES"

_OF_SERVE = ("aiohttp", "prometheus_client", "watchfiles")

log = logging.getLogger(__name__)
_Fill = Callable[[types.ModuleType], None]


def install() -> None:
    """Add the finders, or bring their aliases up to date.  Raises `ValueError` for malformed aliases."""
    aliases = _parse(os.environ.get(ALIASES_VARIABLE, ""))
    known = [finder for finder in sys.meta_path if isinstance(finder, _First | _Last)]
    if len(known) > 1 and all(finder.aliases == aliases for finder in known):
        return  # as in a fork of the nursery: to begin anew would list each folder of the import path there again
    for finder in known:
        finder.aliases = aliases
    if not any(isinstance(finder, _First) for finder in sys.meta_path):
        sys.meta_path.insert(0, _First(aliases))
    if not any(isinstance(finder, _Last) for finder in sys.meta_path):
        sys.meta_path.append(_Last(aliases))
    importlib.invalidate_caches()


def real_name(name: str) -> str:
    """Return what a module is that may be named by an alias.  Raises `ValueError` for malformed aliases."""
    return _parse(os.environ.get(ALIASES_VARIABLE, "")).get(name, name)


def is_aliased(name: str) -> bool:
    """Return whether a module, or a package that it is in, is here by another name.  Raises as `real_name`."""
    parts = name.split(".")
    names = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return not names.isdisjoint(_parse(os.environ.get(ALIASES_VARIABLE, "")))


def _parse(text: str) -> dict[str, str]:
    aliases = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, target = (part.strip() for part in pair.partition("="))
        if not equals or not all(part.isidentifier() for part in (*name.split("."), *target.split("."))):
            raise ValueError(f"{ALIASES_VARIABLE}: {pair!r} is not of the form 'package.module=package.module'")
        aliases[name] = target
    return aliases


class _First(importlib.abc.MetaPathFinder):
    """Asked before the import path."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.aliases = aliases

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for an alias or a module below one, for kodosumi, or for a Ray that may not be usable.

        Ours stands before a kodosumi that is installed: a job that its `Launch` starts is none of the mesh's.
        """
        for name, real in self.aliases.items():
            if fullname == name or fullname.startswith(name + "."):
                return importlib.machinery.ModuleSpec(fullname, _Same(real + fullname[len(name) :]))
        if fullname == "kodosumi" or fullname.startswith("kodosumi."):
            return _kodosumi(fullname, path)
        if fullname == late.RAY:
            return _ray(fullname, path)
        if fullname.startswith("ray.") and not fullname.startswith("ray.serve"):
            return late.now(fullname)
        if fullname == "ray.serve":
            spec = importlib.machinery.PathFinder.find_spec(fullname, path)
            if spec is not None and _lacks_its_needs(spec):
                return _package(fullname, ray_shim.fill_serve)
            if spec is not None and spec.loader is not None:
                spec.loader = _OrShim(spec.loader)
            return spec
        return None


class _Last(importlib.abc.MetaPathFinder):
    """Asked when nobody else knows the module."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.aliases = aliases

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for a module of a shim, or for the parent package of an alias."""
        parent, _, _ = fullname.rpartition(".")
        if fullname in ray_shim.MODULES:
            return _package(fullname, ray_shim.MODULES[fullname])
        if any(name.startswith(fullname + ".") for name in self.aliases):
            return _package(fullname, _nothing)
        if _is_shim(parent):
            raise _not_offered(fullname, "; install that package to use it")
        return None


def _lacks_its_needs(spec: importlib.machinery.ModuleSpec) -> bool:
    """Return whether it is Ray's own without what it needs (`ray[serve]`): importing it to find out takes seconds."""
    is_rays = any(os.path.isdir(os.path.join(place, "_private")) for place in spec.submodule_search_locations or ())
    return is_rays and any(importlib.machinery.PathFinder.find_spec(name) is None for name in _OF_SERVE)


def _kodosumi(fullname: str, path: Sequence[str] | None) -> importlib.machinery.ModuleSpec:
    if fullname in kodosumi_shim.SAME:
        return importlib.machinery.ModuleSpec(fullname, _Same(kodosumi_shim.SAME[fullname]))
    if fullname not in kodosumi_shim.MODULES:
        raise _not_offered(fullname, "")
    if fullname == "kodosumi":
        found = importlib.machinery.PathFinder.find_spec(fullname, path)
        if found is not None and found.origin is not None:  # a mere folder of that name has none
            log.warning("kodosumi is installed here too: apps get what agentmesh offers in its place")
    return _package(fullname, kodosumi_shim.fill)


def _ray(fullname: str, path: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
    spec = importlib.machinery.PathFinder.find_spec(fullname, path)
    if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
        spec.loader = _Watched(spec.loader.name, spec.loader.path)
    if spec is not None and spec.submodule_search_locations is not None:
        serve = importlib.machinery.PathFinder.find_spec("ray.serve", spec.submodule_search_locations)
        if serve is not None and _lacks_its_needs(serve):  # it will be ours, and takes nothing of Ray's
            return late.postpone(spec)
    return spec


def _not_offered(fullname: str, remedy: str) -> ModuleNotFoundError:
    package = fullname.partition(".")[0]
    text = f"No module named {fullname!r}: it is not part of what agentmesh offers in the place of {package!r}{remedy}"
    return ModuleNotFoundError(text, name=fullname)


def _package(fullname: str, fill: _Fill) -> importlib.machinery.ModuleSpec:
    return importlib.machinery.ModuleSpec(fullname, _Made(fill), is_package=True)


def _is_shim(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and getattr(module, ray_shim.SHIM, False)


def _nothing(module: types.ModuleType) -> None:
    pass


class _Made(importlib.abc.Loader):
    """Makes a module from a function that fills it."""

    def __init__(self, fill: _Fill) -> None:
        self._fill = fill

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Leave it to the import system."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill the module."""
        self._fill(module)


class _Same(importlib.abc.Loader):
    """Gives a module a second name: both names are the same module object, executed once."""

    def __init__(self, real: str) -> None:
        self._real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Leave it to the import system."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Put the real module in the place of the one that is being imported.

        The import system takes what is in `sys.modules` afterwards (documented for modules that replace themselves).
        """
        name = module.__name__
        try:
            sys.modules[name] = importlib.import_module(self._real)
        except ModuleNotFoundError as error:
            if error.name == self._real:
                raise ModuleNotFoundError(f"{name} is an alias of {self._real}: there is none", name=name) from None
            raise


class _Watched(importlib.machinery.SourceFileLoader):
    """Loads Ray, which is to say where it cannot start."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute it; a folder of that name, without `init`, is another's."""
        super().exec_module(module)
        if hasattr(module, "init") and hasattr(module, "is_initialized"):
            own_ray.watch(module)


class _OrShim(importlib.abc.Loader):
    """Loads the real `ray.serve`, or the shim if what it needs is not installed."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Leave it to the real loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute the real module; on ImportError, start over with the shim."""
        try:
            self._loader.exec_module(module)
        except ImportError:
            for name in [name for name in sys.modules if name.startswith("ray.serve.")]:
                del sys.modules[name]
            shim = types.ModuleType(module.__name__)
            shim.__spec__, shim.__path__ = module.__spec__, []
            ray_shim.fill_serve(shim)
            sys.modules[module.__name__] = shim
