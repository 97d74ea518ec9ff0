"""One connection of this process to a Ray cluster: made, and watched."""

import asyncio
import sys

import ray

from agentmesh.cluster.settings import Settings
from agentmesh.cluster.spares import nodes
from agentmesh.cluster.standing import Standing

_AGAIN_S = 0.3
_SAY_EVERY_S = 10.0
_LOOK_S = 2.0
_AWAY_S = 5.0
"""How long an answer may take before the cluster is said to be away."""
_LOST_S = 30.0
"""And before whoever has the connection begins anew.  Ray's own client ends its process after a minute."""


async def connect(settings: Settings, standing: Standing) -> None:
    """Connect, as often as it takes: a cluster may come after us."""
    loop = asyncio.get_running_loop()
    said_at = loop.time()
    while True:
        try:
            await asyncio.to_thread(_connect, settings)
        except (ConnectionError, RuntimeError, OSError, ray.exceptions.RayError) as error:
            standing.is_away(f"does not let us in: {error}")
            if loop.time() - said_at > _SAY_EVERY_S:
                print(f"cluster: {settings.address} does not let us in: {error}", file=sys.stderr)
                said_at = loop.time()
            await asyncio.sleep(_AGAIN_S)
        else:
            standing.is_there()
            return


def _connect(settings: Settings) -> None:
    ray.init(
        address=settings.address,
        namespace=settings.namespace(),
        log_to_driver=True,
        configure_logging=False,
        ignore_reinit_error=True,
    )


async def watch(standing: Standing) -> None:
    """Say whether the cluster answers; return when it has not for so long that one had better connect anew.

    Another may be at its address by then, which our connection will never be one to.
    """
    loop = asyncio.get_running_loop()
    heard_at = loop.time()
    asking: asyncio.Future[list[dict[str, object]]] | None = None
    while (silent_s := loop.time() - heard_at) < _LOST_S:
        if silent_s > _AWAY_S:
            standing.is_away("does not answer")
        asking = asking or asyncio.ensure_future(asyncio.to_thread(nodes))  # one at a time: it may take a minute
        await asyncio.wait({asking}, timeout=_LOOK_S)
        if not asking.done():
            continue
        if asking.exception() is None and asking.result():
            heard_at = loop.time()
            standing.is_there()
        asking = None
        await asyncio.sleep(_LOOK_S)
