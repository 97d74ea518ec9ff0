"""The nursery of a cluster: takes the orders of the runner, as a nursery does, and has Ray carry them out.

It listens on a unix socket, one client at a time.  It is a process of its own, for Ray's threads and its waiting are
nothing for a service's event loop, and outlives the runner; when it begins anew, it finds its hosts by their names.
"""

import asyncio
import contextlib
import os
import pathlib
import socket
import sys
from collections.abc import Coroutine
from typing import Any

from agentmesh_protos.runner.v1 import placement_pb2
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec, NurseryEvent, NurseryOrder

from agentmesh.cluster.hosts import ActorHosts, Unplaced
from agentmesh.cluster.orders import Client
from agentmesh.host.own import peers


class Bridge:
    """Hosts of one mesh, and whoever gives orders about them."""

    def __init__(self, hosts: ActorHosts) -> None:
        self._hosts = hosts
        self._client: Client | None = None
        self._known: dict[str, asyncio.Task[None]] = {}
        """Hosts that are being started, or live, with what starts or follows them."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, path: pathlib.Path, stopping: asyncio.Event) -> None:
        """Find the hosts that live, then take orders at `path` until `stopping` is set."""
        for host_id in await self._hosts.find():
            self._known[host_id] = self._spawn(self._follow(host_id), host_id)
        listener = _listen(path)
        accepting = asyncio.create_task(self._accept(listener), name="accept")
        self._spawn(self._hosts.keep_spares(), "spares")
        try:
            await stopping.wait()
        finally:
            accepting.cancel()
            for task in (*self._tasks, *self._known.values()):
                task.cancel()
            await asyncio.gather(accepting, *self._tasks, *self._known.values(), return_exceptions=True)
            listener.close()
            if self._client is not None:
                self._client.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(listener)
            if why_not := peers.why_not(peers.of(sock)):
                print(f"cluster: somebody who connects is refused: {why_not}", file=sys.stderr)
                sock.close()
                continue
            if self._client is not None:
                self._client.close()
            self._client = Client(sock, self._obey)
            present = placement_pb2.HostsPresent(host_ids=sorted(self._known))
            await self._client.tell(NurseryEvent(present=present))

    def _obey(self, order: NurseryOrder, badge: str) -> None:
        match order.WhichOneof("order"):
            case "start":
                spec = order.start
                if spec.host_id not in self._known:
                    self._known[spec.host_id] = self._spawn(self._start(spec, badge), spec.host_id)
            case "stop":
                if (task := self._known.get(order.stop)) is not None:
                    self._spawn(self._stop(order.stop, task), f"stop-{order.stop}")

    async def _start(self, spec: HostSpec, badge: str) -> None:
        try:
            await self._hosts.start(spec, badge)
        except Unplaced as unplaced:
            self._known.pop(spec.host_id, None)
            said = placement_pb2.HostUnplaced(host_id=spec.host_id, reason=str(unplaced), detail=unplaced.detail)
            await self._tell(NurseryEvent(unplaced=said))
            return
        await self._follow(spec.host_id)

    async def _follow(self, host_id: str) -> None:
        how = await self._hosts.ended(host_id)
        self._hosts.forget(host_id)
        await self._left(host_id, how)

    async def _stop(self, host_id: str, following: asyncio.Task[None]) -> None:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await self._hosts.stop(host_id)
        await self._left(host_id, "was stopped")

    async def _left(self, host_id: str, how: str) -> None:
        self._known.pop(host_id, None)
        await self._tell(NurseryEvent(exited=placement_pb2.HostExited(host_id=host_id, reason=how)))

    async def _tell(self, event: NurseryEvent) -> None:
        if self._client is not None and not self._client.gone.done():
            await self._client.tell(event)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_complain)
        return task


def _listen(path: pathlib.Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)  # only our own user may start hosts here
    listener.bind(str(path))
    os.umask(old)
    listener.listen(4)
    listener.setblocking(False)
    return listener


def _complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        print(f"cluster: {task.get_name()}: {error!r}", file=sys.stderr)
