"""A flow that would have Ray start a Ray of its own is told why that cannot be, before Ray has tried.

Ray puts sockets below the temporary folder, and a job's is too deep for them: the path of a socket has few bytes.  So
`ray.init` is replaced in a Ray that is installed.  Whoever names a cluster, or a folder that is short enough, gets Ray.
"""

import functools
import os
import sys
import types
from typing import Any

from agentmesh.errors import KodosumiError

_PATH_BYTES_MAX = 103 if sys.platform == "darwin" else 107
_FOLDER = "ray"
_SOCKET = "session_YYYY-MM-DD_hh-mm-ss_uuuuuu_{pid}/sockets/plasma_store"
_REMEDY = (
    "Ray cannot start in {folder}: the names of its sockets would be too long. Start the mesh with "
    "`agentmesh up --ray`, or name a cluster in AGENTMESH_RAY_ADDRESS: `ray.remote` in flows uses that, unless "
    "AGENTMESH_RAY_FLOWS refuses it"
)


def watch(module: types.ModuleType) -> None:
    """Have `module`, which is Ray's own, say so where it cannot start."""
    init = module.init

    @functools.wraps(init)
    def checked(address: str | None = None, **options: Any) -> Any:
        if not module.is_initialized():
            _check(address, options.get("_temp_dir"))
        return init(address, **options)

    vars(module)["init"] = checked


def _check(address: str | None, temp_dir: str | None) -> None:
    """Raise `KodosumiError` if Ray would start a Ray, and could not."""
    if address not in (None, "auto", "local") or (address != "local" and os.environ.get("RAY_ADDRESS")):
        return
    found = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    folder = os.path.abspath(temp_dir or os.path.join(found, _FOLDER))
    if len(os.fsencode(os.path.join(folder, _SOCKET.format(pid=os.getpid())))) > _PATH_BYTES_MAX:
        raise KodosumiError(_REMEDY.format(folder=folder))
