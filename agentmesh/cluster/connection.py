"""One connection of this process to a Ray cluster."""

import asyncio
import sys

import ray

from agentmesh.cluster.settings import Settings

_AGAIN_S = 0.3
_SAY_EVERY_S = 10.0


async def connect(settings: Settings) -> None:
    """Connect, as often as it takes: a cluster may come after us."""
    loop = asyncio.get_running_loop()
    said_at = loop.time()
    while True:
        try:
            await asyncio.to_thread(_connect, settings)
            return
        except (ConnectionError, RuntimeError, OSError, ray.exceptions.RayError) as error:
            if loop.time() - said_at > _SAY_EVERY_S:
                print(f"cluster: {settings.address} does not let us in: {error}", file=sys.stderr)
                said_at = loop.time()
        await asyncio.sleep(_AGAIN_S)


def _connect(settings: Settings) -> None:
    ray.init(
        address=settings.address,
        namespace=settings.namespace(),
        log_to_driver=True,
        configure_logging=False,
        ignore_reinit_error=True,
    )
