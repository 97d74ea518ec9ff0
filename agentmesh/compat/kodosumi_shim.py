"""What `import kodosumi` finds in a host (spec: kodosumi §9), whether kodosumi is installed or not."""

import importlib
import types

from agentmesh.compat.ray_shim import SHIM

SAME = {
    "kodosumi.response": "agentmesh.response",
    "kodosumi.error": "agentmesh.errors",
    "kodosumi.service.inputs.forms": "agentmesh.forms",
    "kodosumi.service.inputs.errors": "agentmesh.errors",
}
"""Modules that are ours under another name."""

_PARTS = "agentmesh.compat.kodosumi_parts"
_TRACER = {"Tracer": "agentmesh.tracer", "TracerMock": "agentmesh.tracer"}
_LAUNCH = {"Launch": "agentmesh.launch"}
_SERVE = {"ServeAPI": "agentmesh.serve", **_LAUNCH, "Templates": "agentmesh.templates"}
_FORMATS = {"Markdown": "agentmesh.response", "HTML": "agentmesh.response", "Text": "agentmesh.response"}
_CORE = {
    **_TRACER,
    **_SERVE,
    **_FORMATS,
    "InputsError": "agentmesh.errors",
    "KodosumiError": "agentmesh.errors",
}


def _parts(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, _PARTS)


MODULES: dict[str, dict[str, str]] = {
    "kodosumi": {},
    "kodosumi.const": {},
    "kodosumi.core": _CORE,
    "kodosumi.dtypes": {**_FORMATS, **_parts("DynamicModel", "RegisterFlow", "File", "Upload")},
    "kodosumi.helper": _parts("now"),
    "kodosumi.serve": _SERVE,
    "kodosumi.spooler": _parts("Spooler", "SpoolerLock"),
    "kodosumi.runner": {},
    "kodosumi.runner.const": {},
    "kodosumi.runner.files": dict.fromkeys(
        ("AsyncFileSystem", "SyncFileSystem", "AsyncFileStream", "SyncFileStream"), "agentmesh.files"
    ),
    "kodosumi.runner.main": _LAUNCH,
    "kodosumi.runner.tracer": _TRACER,
    "kodosumi.service": {},
    "kodosumi.service.inputs": {},
}
"""Modules that are made: name to where it comes from."""

_WITH_CONSTANTS = ("kodosumi.const", "kodosumi.runner.const", "kodosumi.spooler")
_AS_MODULE = {"forms": "agentmesh.forms", "response": "agentmesh.response"}


def fill(module: types.ModuleType) -> None:
    """Fill one of `MODULES`."""
    contents = vars(module)
    contents[SHIM] = True
    for name, home in MODULES[module.__name__].items():
        setattr(module, name, getattr(importlib.import_module(home), name))
    if module.__name__ in _WITH_CONSTANTS:
        contents.update(importlib.import_module(_PARTS).CONSTANTS)
    if module.__name__ == "kodosumi.spooler":
        contents.update(dict.fromkeys(("main", "run", "terminate"), importlib.import_module(_PARTS).spool))
    if module.__name__ == "kodosumi.dtypes":
        contents["format_map"] = importlib.import_module(_PARTS).FORMATS
    if module.__name__ == "kodosumi.core":
        for name, home in _AS_MODULE.items():
            setattr(module, name, importlib.import_module(home))
    if module.__name__ in ("kodosumi", "kodosumi.core"):
        contents["__version__"] = "1.1.1"  # the release whose surface this is
