"""Questions that wait for an answer, the most urgent first."""

from typing import Any

from agentmesh_protos.runner.v1 import lock_pb2
from starlette.responses import Response

from gateway.core.peers import Peers
from gateway.web.panel import shell
from gateway.web.panel.live import Live, changes
from gateway.web.panel.visitor import Visitor
from meshkit import clock
from meshkit.errors import from_rpc

_LOCKS_MAX = 100
_ASK_S = 5.0
_URGENT_S = 600.0


class Inbox:
    """The open questions of the caller's executions."""

    def __init__(self, peers: Peers) -> None:
        self._locks = peers.locks

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/inbox."""
        return visitor.page("inbox.html", items=await self._items())

    async def watch(self, visitor: Visitor) -> Response:
        """GET /panel/live/inbox: the list, whenever it changes."""

        async def part() -> str:
            return shell.render("parts/inbox.html", items=await self._items())

        return Live(visitor, changes(part))

    async def _items(self) -> list[dict[str, Any]]:
        with from_rpc():
            found = await self._locks.ListLocks(lock_pb2.ListLocksRequest(page_size=_LOCKS_MAX), timeout=_ASK_S)
        now = clock.now()
        items = [_item(lock, now) for lock in found.locks]
        return sorted(items, key=lambda item: float(item["left_s"]))


def _item(lock: lock_pb2.Lock, now: float) -> dict[str, Any]:
    _, fid, _, lid = lock.name.split("/")
    left_s = clock.seconds_of(lock.expire_time) - now if lock.HasField("expire_time") else float("inf")
    return {"lock": lock, "fid": fid, "lid": lid, "left_s": left_s, "urgent": left_s < _URGENT_S}
