"""The engine's entry point."""

import asyncio
import importlib
from typing import Any

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh.errors import KodosumiError
from agentmesh.tracer import Tracer

_CREW = "agentmesh.engine.crew"
_loaded: dict[str, Any] = {}
"""What has been imported to its end: `sys.modules` has a module from its beginning."""
_EXTRA = "agents and crews need the extra `agents`: pip install 'agentmesh[agents]'"


async def run(inputs: dict[str, Any], tracer: Tracer, assignment: host_pb2.Run | None = None) -> Any:
    """Run what the job was born with: an agent or a crew."""
    if assignment is None:
        raise KodosumiError("this flow runs agents and crews: start a job of one of those")
    try:
        crew = _loaded.get(_CREW)
        if crew is None:
            # Some 50 MB and half a second: in a thread, and only where there is such a job.
            crew = _loaded[_CREW] = await asyncio.to_thread(importlib.import_module, _CREW)
    except ModuleNotFoundError as error:
        raise KodosumiError(f"{_EXTRA} ({error.name} is missing)") from error
    return await crew.run(inputs, tracer, assignment)
