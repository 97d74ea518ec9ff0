"""Take orders for hosts on a Ray cluster, until SIGTERM.

`AGENTMESH_NURSERY` names the socket, `AGENTMESH_RAY_ADDRESS` the cluster: `host:port`, or `ray://host:port`.
"""

import asyncio
import os
import pathlib
import signal
import sys

from agentmesh.cluster.settings import Settings
from agentmesh.host.own.processes import die_with_parent
from agentmesh.supervisor import handing


def main() -> None:
    """Connect, then serve."""
    parent = os.getppid()
    settings = Settings.of(os.environ, handing.handed())
    if settings is None:
        print("cluster: AGENTMESH_NURSERY and AGENTMESH_RAY_ADDRESS must be set", file=sys.stderr)
        sys.exit(2)
    os.environ.update(settings.for_ray())
    die_with_parent(parent)  # not by SIGTERM: hosts outlive a mesh that was killed, and not one that was ended
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from agentmesh.cluster import connection
    from agentmesh.cluster.bridge import Bridge
    from agentmesh.cluster.hosts import ActorHosts, Terms
    from agentmesh.cluster.standing import Standing

    stopping, standing = asyncio.Event(), Standing(settings.data_dir, settings.address)
    await connection.connect(settings, standing)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # Ray sets its own
        loop.add_signal_handler(number, stopping.set)
    hosts = ActorHosts(
        Terms(
            settings=settings.of_nurseries,
            environment=settings.for_hosts(),
            place_s=settings.place_s,
            spares=settings.spares,
        ),
        standing,
    )
    serving = asyncio.create_task(Bridge(hosts).serve(pathlib.Path(settings.nursery), stopping), name="serve")
    watching = asyncio.create_task(connection.watch(standing), name="watch")
    await asyncio.wait({serving, watching}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        print(f"cluster: {settings.address} does not answer any more: connecting anew", file=sys.stderr)
        os._exit(1)  # threads of ours wait for it, and Ray's would first say good-bye; hosts are found again
    watching.cancel()
    await serving
    if not settings.own:  # one that is ours ends with us
        await hosts.end_all()


if __name__ == "__main__":
    main()
