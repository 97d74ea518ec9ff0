"""The folder in which the processes of Ray on one node meet: sockets, and logs that each of them writes."""

import os
import pathlib

from ray._private import worker

LOGS = "logs"
_SOCKETS = ("raylet", "plasma_store")


def folder() -> pathlib.Path:
    """Return that of the Ray which this process is a worker of.  Raises `RuntimeError` if it is of none."""
    node = worker._global_node
    if node is None:
        raise RuntimeError("this process is no worker of Ray")
    return pathlib.Path(node.get_session_dir_path())


def open_to_jobs(session: pathlib.Path) -> None:
    """Let jobs, which have user ids of their own where the mesh is root's, be drivers of a Ray of the mesh's own.

    Who may is who knows its name: the folder above is another at each start, and nobody else can list it.
    """
    if os.geteuid() != 0:
        return
    logs = session / LOGS
    for found in (logs, *logs.iterdir()):
        if found.is_dir():
            found.chmod(0o1777)  # each adds files there, and can take away its own only
    for name in _SOCKETS:
        (session / "sockets" / name).chmod(0o666)
