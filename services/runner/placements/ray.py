"""Hosts as actors of a Ray cluster, which outlive this process and the mesh.

What talks to Ray is a process of its own (`python -m agentmesh.cluster`) that takes the same orders as a nursery: Ray's
client has threads and blocks, and a service's event loop is to do neither.
"""

import pathlib

from agentmesh_protos.runner.v1.placement_pb2 import HostSpec

from meshkit.net.tls import Tls
from services.runner.placements.local import LocalPlacement

MODULE = "agentmesh.cluster"


class RayPlacement(LocalPlacement):
    """A `Placement` whose hosts are on machines of a cluster, and reach the runner from there."""

    def __init__(self, path: str, door: Tls | None, patience_s: float) -> None:
        """`path` is the socket of what talks to Ray; hosts know the runner's `door` by its CA.  Raises `OSError`."""
        super().__init__(path)
        self._ca = "" if door is None else pathlib.Path(door.ca).read_text("utf-8")
        self._patience_s = patience_s

    async def start(self, spec: HostSpec, badge: str) -> None:
        """As `Placement.start`."""
        told = HostSpec()
        told.CopyFrom(spec)
        told.runner_ca, told.patience_s = self._ca, self._patience_s
        await super().start(told, badge)
