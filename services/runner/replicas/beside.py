"""What the runner is made of besides, if others stand beside it: its part in what replicas share."""

import contextlib
import dataclasses
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any

from meshkit import client, identity
from meshkit.bus import Bus
from meshkit.errors import Unavailable
from meshkit.tasks import Tasks
from services.runner.apps.apps import Apps
from services.runner.config import Config
from services.runner.hosts.links import Hosts
from services.runner.hosts.roll import Doubtful, Roll
from services.runner.hosts.slots import Capacity
from services.runner.jobs.claims import Claims
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.jobs import Jobs
from services.runner.ports.replicas import ReplicaStore
from services.runner.replicas.duties import Duty
from services.runner.replicas.far import FarHosts
from services.runner.replicas.placing import Placing

_DUTY_LEASES = 1 / 3
"""How long a duty may not be kept, in leases of hosts: who places them is there again before they are missed."""
Works = dict[str, Coroutine[Any, Any, None]]


@dataclasses.dataclass(slots=True)
class Beside:
    """One replica of the runner, or the only one: then it is `hosts` and nothing else."""

    hosts: Hosts
    replicas: ReplicaStore | None = None
    roll: Roll | None = None
    far: FarHosts | None = None
    duties: dict[str, Duty] = dataclasses.field(default_factory=dict)

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(
        cls,
        config: Config,
        replicas: ReplicaStore | None,
        bus: Bus,
        tasks: Tasks,
        who: identity.ServiceIdentity,
    ) -> AsyncIterator["Beside"]:
        """Stand beside others for the length of the block, if there may be any."""
        if replicas is None:
            yield cls(Hosts())
            return
        runner_id = secrets.token_hex(8)

        def peer(address: str) -> client.Peer:
            return client.Peer(service="runner", address=address, wires=config.wires)

        async with FarHosts(runner_id, replicas, who, peer, tasks) as far:
            hosts = Hosts(far)
            terms = {"heartbeat_s": config.heartbeat_s, "lease_s": config.lease_s}
            roll = Roll(runner_id, replicas, hosts, bus, capacity=capacity_of(config), **terms)
            lease_s = config.lease_s * _DUTY_LEASES
            duties = {name: Duty(name, runner_id, replicas, lease_s=lease_s) for name in ("placing", "payments")}
            try:
                yield cls(hosts, replicas, roll, far, duties)
            finally:
                with contextlib.suppress(Unavailable):
                    await replicas.leave(runner_id)

    def dispatcher(self, *args: Any) -> Dispatcher:
        """Return the queue."""
        return Dispatcher(*args) if self.replicas is None else Claims(self.replicas, *args)

    def elsewhere(self, apps: Apps) -> Callable[[], Awaitable[Any]] | None:
        """Return what finds the replica that places hosts."""
        if self.roll is None or self.far is None:
            return None
        return Placing(self.duties["placing"], apps, self.roll, self.far).elsewhere

    def works(
        self,
        config: Config,
        apps: Apps,
        jobs: Jobs,
        bound: tuple[int, str],
        duties: Mapping[str, Callable[[], Awaitable[None]]],
    ) -> Works:
        """Return what goes on beside the calls, by name; `duties` are done by one replica at a time.

        `bound` are the port that we listen on, 0 for none, and where hosts dial.
        """
        port, door = bound
        assert self.roll is not None, "there are others"
        assert self.replicas is not None, "there are others"
        listens = config.at("runner")
        if port:
            listens = f"{listens.rpartition(':')[0]}:{port}"
        address = config.replica_address or listens
        works: Works = {
            "roll": self.roll.run(address, door),
            "apps": apps.follow(),
            "apps-told": apps.keep_telling(),
            "held": jobs.settle(Doubtful(self.roll, self.replicas), config.lease_s / 5),
        }
        return works | {f"duty-{name}": self.duties[name].run(work) for name, work in duties.items()}


def capacity_of(config: Config) -> Capacity:
    """Return how many jobs a host may hold at once."""
    return Capacity(
        processes=config.jobs_per_app, shared=config.shared_jobs_per_app, resting=config.waiting_jobs_per_app
    )
