"""Ray, imported when something of it is used: its core takes a second and 26 MB, and most apps want only `serve`.

`from ray import serve`, where Ray's core is installed without what Serve needs, gets our shim; nothing of the core is
needed for that.  So `ray` is at first a module that has not been executed.  The first name but `serve` that is looked
up in it, and the first other module of Ray's, execute it in place.  An app that keeps `ray` itself has it at its load,
and not in each of its jobs.
"""

import gc
import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
import types
from typing import Any

RAY = "ray"
_SERVE = "serve"
_lock = threading.RLock()


def postpone(spec: importlib.machinery.ModuleSpec) -> importlib.machinery.ModuleSpec:
    """Return the spec of Ray's core as one that does not execute it yet."""
    if spec.loader is not None:
        spec.loader = _Loader(spec.loader)
    return spec


def now(fullname: str) -> importlib.machinery.ModuleSpec | None:
    """Execute Ray's core if that was postponed; return the spec of its module `fullname` if that is there then."""
    module = sys.modules.get(RAY)
    if not isinstance(module, _Late):
        return None
    if not _lock.acquire(blocking=False):  # another thread executes it, and may wait for `fullname`, which we import
        return None
    try:
        _execute(module)
    finally:
        _lock.release()
    found = sys.modules.get(fullname)
    if found is None:
        return None
    spec = importlib.machinery.ModuleSpec(fullname, _Found(found))
    found.__spec__ = None  # else the import system would take that, and execute it once more
    return spec


def settle() -> None:
    """Execute Ray's core if it was postponed, and somebody who was imported keeps it: jobs are not to wait for it."""
    module = sys.modules.get(RAY)
    if isinstance(module, _Late):
        keepers = gc.get_referrers(module)
        if any(isinstance(each, dict) and each is not sys.modules for each in keepers):
            _execute(module)


class _Loader(importlib.abc.Loader):
    def __init__(self, real: importlib.abc.Loader) -> None:
        self.real = real
        self.is_executing = False

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """Leave it to the real loader."""
        return self.real.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Leave it for later."""
        module.__class__ = _Late


class _Found(importlib.abc.Loader):
    """Loads a module that was loaded while it was looked for."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return it."""
        return self._module

    def exec_module(self, module: types.ModuleType) -> None:
        """Let it be as it was."""
        module.__spec__ = self._spec


class _Late(types.ModuleType):
    """A module that has not been executed, or is just being."""

    def __getattr__(self, name: str) -> Any:
        if name == _SERVE:
            return importlib.import_module(f"{RAY}.{_SERVE}")
        with _lock:  # others wait; what Ray itself looks up meanwhile is there or is not
            if _execute(self):
                return getattr(self, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)


def _execute(module: types.ModuleType) -> bool:
    """Execute a module, unless this thread is just doing that; return whether it has been executed."""
    with _lock:
        spec = module.__spec__
        assert spec is not None, "a finder has made it"
        loader = spec.loader
        if not isinstance(loader, _Loader):
            return True
        if loader.is_executing:
            return False
        loader.is_executing = True
        try:
            loader.real.exec_module(module)
        except BaseException:
            sys.modules.pop(RAY, None)  # as with any import that fails
            raise
        finally:
            loader.is_executing = False
        spec.loader = module.__loader__ = loader.real
        object.__setattr__(module, "__class__", types.ModuleType)  # its `__getattr__` is over
        return True
