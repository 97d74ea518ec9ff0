"""What people import: the flow SDK.

    import pydantic
    from agentmesh import ServeAPI

    app = ServeAPI()

    class Greeting(pydantic.BaseModel):
        name: str

    @app.flow("/", summary="Greeter")
    async def greet(inputs: Greeting, tracer) -> str:
        await tracer.markdown(f"Thinking of **{inputs.name}**...")
        return f"Hello {inputs.name}!"

Names are imported on first use, so that a process which needs one of them does not load the web framework.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentmesh import forms, response
    from agentmesh.allowance import Budget
    from agentmesh.errors import InputsError, KodosumiError, StepsDiffer
    from agentmesh.launch import Launch
    from agentmesh.response import HTML, Image, Link, Markdown, Table, Text, Video
    from agentmesh.retries import Retries
    from agentmesh.serve import ServeAPI
    from agentmesh.templates import Templates
    from agentmesh.tracer import Tracer, TracerMock

    __version__: str

__all__ = [
    "HTML",
    "Budget",
    "Image",
    "InputsError",
    "KodosumiError",
    "Launch",
    "Link",
    "Markdown",
    "Retries",
    "ServeAPI",
    "StepsDiffer",
    "Table",
    "Templates",
    "Text",
    "Tracer",
    "TracerMock",
    "Video",
    "forms",
    "response",
]

_HOMES = {
    "Budget": "allowance",
    "HTML": "response",
    "Image": "response",
    "InputsError": "errors",
    "KodosumiError": "errors",
    "Launch": "launch",
    "Link": "response",
    "Markdown": "response",
    "Retries": "retries",
    "ServeAPI": "serve",
    "StepsDiffer": "errors",
    "Table": "response",
    "Templates": "templates",
    "Text": "response",
    "Tracer": "tracer",
    "TracerMock": "tracer",
    "Video": "response",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("agentmesh")
    if name in ("forms", "response"):
        return importlib.import_module(f"agentmesh.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'agentmesh' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"agentmesh.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
