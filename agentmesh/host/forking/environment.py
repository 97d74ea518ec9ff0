"""What an expose's `runtime_env` does to its host, before the app is loaded."""

import os
import pathlib
import sys
from typing import Any

from agentmesh.host.packages.asked import hidden


def apply(runtime_env: dict[str, Any]) -> frozenset[str]:
    """Set variables, the working directory and the import path of this process; return the variables' names.

    `env_vars` is a mapping of strings, `working_dir` a folder, `py_modules` a list of folders, wheels or zip files.
    A `py_modules` entry that is an address, and has not been fetched (`packages.needs`), is left out: what it holds
    must be installed or on the import path, and importing the app says so if it is not.  Raises `ValueError` for
    anything that is not there or not of that form.
    """
    if not isinstance(runtime_env, dict):
        raise ValueError("runtime_env must be a mapping")
    env_vars = runtime_env.get("env_vars") or {}
    if not isinstance(env_vars, dict):
        raise ValueError("runtime_env.env_vars must map names to values")
    given = {str(name): str(value) for name, value in env_vars.items()}
    os.environ.update(given)
    if working_dir := runtime_env.get("working_dir"):
        folder = pathlib.Path(str(working_dir))
        if not folder.is_dir():
            raise ValueError("runtime_env.working_dir is not a folder on this machine")
        os.chdir(folder)
        sys.path.insert(0, str(folder.resolve()))
    modules = runtime_env.get("py_modules") or []
    if not isinstance(modules, list):
        raise ValueError("runtime_env.py_modules must be a list")
    for module in modules:
        if "://" in str(module):
            address = hidden(str(module))
            print(f"runtime_env.py_modules: {address} is not fetched; it must be importable already", file=sys.stderr)
            continue
        path = pathlib.Path(str(module))
        if not path.exists():
            raise ValueError("runtime_env.py_modules names a path that is not on this machine")
        # Ray takes a package's own folder; what must be on the import path is the folder around it.
        is_package = (path / "__init__.py").exists()
        sys.path.insert(0, str((path.parent if is_package else path).resolve()))
    return frozenset(given)
