"""What `import kodosumi` finds where kodosumi is not installed (spec: kodosumi §9)."""

import importlib
import types

SAME = {
    "kodosumi.response": "agentmesh.response",
    "kodosumi.dtypes": "agentmesh.response",
    "kodosumi.error": "agentmesh.errors",
    "kodosumi.service.inputs.forms": "agentmesh.forms",
    "kodosumi.service.inputs.errors": "agentmesh.errors",
}
"""Modules that are ours under another name."""

_TRACER = {"Tracer": "agentmesh.tracer", "TracerMock": "agentmesh.tracer"}
_SERVE = {"ServeAPI": "agentmesh.serve", "Launch": "agentmesh.launch", "Templates": "agentmesh.templates"}
_CORE = {
    **_TRACER,
    **_SERVE,
    "InputsError": "agentmesh.errors",
    "KodosumiError": "agentmesh.errors",
    "Markdown": "agentmesh.response",
    "HTML": "agentmesh.response",
    "Text": "agentmesh.response",
}

MODULES: dict[str, dict[str, str]] = {
    "kodosumi": {},
    "kodosumi.core": _CORE,
    "kodosumi.serve": _SERVE,
    "kodosumi.runner": {},
    "kodosumi.runner.tracer": _TRACER,
    "kodosumi.service": {},
    "kodosumi.service.inputs": {},
}
"""Modules that are made: name to where it comes from."""

_AS_MODULE = {"forms": "agentmesh.forms", "response": "agentmesh.response"}


def fill(module: types.ModuleType) -> None:
    """Fill one of `MODULES`."""
    vars(module)["__agentmesh_shim__"] = True
    for name, home in MODULES[module.__name__].items():
        setattr(module, name, getattr(importlib.import_module(home), name))
    if module.__name__ == "kodosumi.core":
        for name, home in _AS_MODULE.items():
            setattr(module, name, importlib.import_module(home))
    if module.__name__ in ("kodosumi", "kodosumi.core"):
        vars(module)["__version__"] = "1.1.1"  # the release whose surface this is
