"""The roll of hosts: which of them there are, and on which replica of the runner each hangs, as the table has it.

Every replica has a link to every host; that of one which hangs elsewhere leads there.  A host that loses its replica
dials another one, which takes it up with all that it holds.  Who hears a host says so in the table, by a number that
counts up; whoever reads it sees by their own clock for how long a host has not been heard.
"""

import asyncio
import collections
import time

import structlog
from agentmesh_protos.runner.v1 import host_pb2

from meshkit.bus import Bus
from meshkit.errors import NotFound, Unavailable
from meshkit.net import endpoints
from services.runner.domain import Job
from services.runner.hosts.links import Hosts, Link
from services.runner.hosts.slots import Capacity
from services.runner.ports.replicas import HostRow, Replica, ReplicaStore

log = structlog.get_logger()
HOSTS = "hosts"
"""A host has attached, has loaded its app, or is for something else than before: every replica looks."""
_LOOK_S = 1.0
_SILENT_BEATS = 2.5
"""A host that has said nothing for so many heartbeats is not heard."""
_FORGOTTEN_LEASES = 10
"""A replica that has said nothing for so long is forgotten."""
_GONE = "gone"


class Roll:
    """Keeps the links of one replica as the table has its hosts."""

    def __init__(
        self,
        runner_id: str,
        store: ReplicaStore,
        hosts: Hosts,
        bus: Bus,
        *,
        capacity: Capacity,
        heartbeat_s: float,
        lease_s: float,
    ) -> None:
        """`runner_id` is this replica's, and no other's before it."""
        self._me = Replica(runner_id=runner_id, address="", door="")
        self._store = store
        self._hosts = hosts
        self._bus = bus
        self._capacity = capacity
        self._heard_s = _SILENT_BEATS * heartbeat_s
        self._lease_s = lease_s
        self._look_s = min(_LOOK_S, lease_s / 5)
        self._beats: dict[str, int] = {}
        self._known: set[str] = set()
        self._wanted: dict[str, str] = {}
        """What hosts shall be for, as the replica that places them has decided, until the table has it."""
        self._deciding = asyncio.Lock()
        self._replicas: dict[str, Replica] = {}
        self._lives: dict[str, tuple[int, float]] = {}
        """How often each replica has said that it lives, and since when that number stands."""
        self._looked_at = time.monotonic()

    async def run(self, address: str, door: str) -> None:
        """Look and be seen, as who is called at `address` and dialled at `door`, until cancelled."""
        self._me = Replica(runner_id=self._me.runner_id, address=address, door=door)
        async with self._bus.subscribe(HOSTS) as waker:
            while not waker.closed:
                try:
                    await self._decide()
                    await self._beat()
                    await self.look()
                except Unavailable as error:
                    log.debug("the roll cannot be read now", why=str(error))
                await waker.wait(self._look_s)

    def address_of(self, runner_id: str) -> str:
        """Return where a replica is called; empty if it is not known."""
        known = self._replicas.get(runner_id)
        return known.address if known is not None else ""

    def doors(self, place: int = -1) -> str:
        """Return where hosts may dial: of every replica that lives, beginning with ours.

        With a `place` in turns, so that each gets its share of hosts.
        """
        now = time.monotonic()
        living = [
            one.door
            for runner_id, one in sorted(self._replicas.items())
            if runner_id == self._me.runner_id or now - self._lives[runner_id][1] < self._lease_s
        ]
        doors = list(dict.fromkeys(living))
        if self._me.door not in doors:
            doors.append(self._me.door)
        turn = doors.index(self._me.door) if place < 0 else place % len(doors)
        found = [endpoints.parse(door) for door in (*doors[turn:], *doors[:turn])]
        return endpoints.target(found)

    # -- what the replica that places hosts decides --------------------------------------------------------------

    async def add(self, host_id: str, expose: str) -> None:
        """Know a host that is about to be started, before it can dial any of us.  Raises `Unavailable`."""
        async with self._deciding:  # an end of it that was decided before must not come behind
            self._wanted.pop(host_id, None)
            await self._store.add_host(host_id, expose)

    def serve(self, link: Link) -> None:
        """Have a host get new work, on whatever replica it hangs."""
        self._want(link.host_id, "serving")

    def drain(self, link: Link) -> None:
        """Have a host get no new work any more."""
        self._want(link.host_id, "draining")

    def forget(self, host_id: str) -> None:
        """Have a host be none any more."""
        self._want(host_id, _GONE)

    def step_down(self) -> None:
        """Decide nothing any more: another replica does."""
        self._wanted.clear()

    def _want(self, host_id: str, stage: str) -> None:
        self._wanted[host_id] = stage

    async def decided(self) -> None:
        """Write down what was decided, or leave it to the next look."""
        try:
            await self._decide()
        except Unavailable:
            return
        await self._bus.publish(HOSTS)

    async def _decide(self) -> None:
        async with self._deciding:
            for host_id, stage in list(self._wanted.items()):
                if stage == _GONE:
                    await self._store.remove_host(host_id)
                else:
                    await self._store.note_stage(host_id, stage)
                if self._wanted.get(host_id) == stage:
                    del self._wanted[host_id]

    # -- what hangs here -----------------------------------------------------------------------------------------

    async def take_up(self, hello: host_pb2.Hello) -> Link:
        """Have a host that dials hang here; return its link, which knows what the host is expected to hold.

        Raises `NotFound` if it is not wanted any more.
        """
        row = await self._store.attach_host(hello.host_id, self._me.runner_id)
        if row is None or row.expose != hello.expose or self._wanted.get(hello.host_id) == _GONE:
            raise NotFound(f"host {hello.host_id} is not wanted any more")
        link = self._hosts.links.get(hello.host_id)
        if link is None or link.is_elsewhere or not link.generation:
            held = await self._store.held_jobs([hello.host_id])
            link = self._link(row)
            link.is_elsewhere = False
            for job in held:
                link.slots.hold(job)
        self._note_stage(link, row)
        await self._bus.publish(HOSTS)
        return link

    async def loaded(self, link: Link, loaded: host_pb2.Loaded) -> None:
        """Tell everybody what came of loading a host's app."""
        await self._store.note_loaded(link.host_id, loaded.SerializeToString())
        await self._bus.publish(HOSTS)

    def here(self) -> dict[str, Link]:
        """Return the hosts that hang here, by id."""
        return {host_id: link for host_id, link in self._hosts.links.items() if link.attached}

    async def _beat(self) -> None:
        now = time.monotonic()
        heard = [host_id for host_id, link in self.here().items() if now - link.seen_at < self._heard_s]
        await self._store.beat(self._me, heard)

    # -- looking -------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Read the table.  Raises `Unavailable`."""
        found = await self._store.replicas()
        rows = {row.host_id: row for row in await self._store.hosts()}
        now = time.monotonic()
        # We did not look for a while, or could not: nobody was silent in that time.
        is_late, self._looked_at = now - self._looked_at > self._lease_s / 2, now
        self._replicas = {one.runner_id: one for one in found}
        self._lives = {
            one.runner_id: self._lives[one.runner_id]
            if not is_late and self._lives.get(one.runner_id, (-1, 0.0))[0] == one.beats
            else (one.beats, now)
            for one in found
        }
        for row in rows.values():
            if self._wanted.get(row.host_id) != _GONE:
                self._note(row, now, is_late=is_late)
        for host_id in self._known - rows.keys():
            self._hosts.remove(host_id)
            self._beats.pop(host_id, None)
        self._known = set(rows)
        for runner_id, (_, at) in self._lives.items():
            if now - at > _FORGOTTEN_LEASES * self._lease_s and runner_id != self._me.runner_id:
                await self._store.leave(runner_id)

    def _note(self, row: HostRow, now: float, *, is_late: bool) -> None:
        link = self._link(row)
        if row.runner_id not in ("", self._me.runner_id):
            if not link.is_elsewhere:
                link.move()
            if is_late or self._beats.get(row.host_id) != row.beats:
                link.seen_at = now
        self._beats[row.host_id] = row.beats
        self._note_stage(link, row)

    def _note_stage(self, link: Link, row: HostRow) -> None:
        if row.loaded is not None and not link.loaded.done():
            link.loaded.set_result(host_pb2.Loaded.FromString(row.loaded))
        stage = self._wanted.get(row.host_id, row.stage)
        if stage == "serving":
            self._hosts.serve(link)
        elif stage == "draining":
            self._hosts.retire(link)

    def _link(self, row: HostRow) -> Link:
        link = self._hosts.links.get(row.host_id)
        if link is None:
            link = self._hosts.add(Link(row.host_id, row.expose, self._capacity, self._hosts.far))
            link.started = True
        return link


class Doubtful:
    """Finds jobs on whose host the table and this replica do not agree, twice in a row: what is on its way settles."""

    def __init__(self, roll: Roll, store: ReplicaStore) -> None:
        self._roll = roll
        self._store = store
        self._before: collections.Counter[tuple[str, str, int]] = collections.Counter()

    async def look(self) -> tuple[list[tuple[Job, Link]], list[tuple[str, Link]]]:
        """Return jobs that a host is to hold and we do not know of, and jobs that we know of and it is not to hold."""
        here = self._roll.here()
        held = {job.job_id: job for job in await self._store.held_jobs(list(here))} if here else {}
        seen: collections.Counter[tuple[str, str, int]] = collections.Counter()
        missed: list[tuple[Job, Link]] = []
        over: list[tuple[str, Link]] = []
        for job in held.values():
            link = here[job.host_id]
            if job.job_id not in link.jobs and self._again(seen, job.job_id, job.host_id, job.epoch):
                missed.append((job, link))
        for host_id, link in here.items():
            for job_id in link.jobs:
                known = held.get(job_id)
                if (known is None or known.host_id != host_id) and self._again(seen, job_id, host_id, -1):
                    over.append((job_id, link))
        self._before = seen
        return missed, over

    def _again(self, seen: "collections.Counter[tuple[str, str, int]]", job_id: str, host_id: str, epoch: int) -> bool:
        key = (job_id, host_id, epoch)
        seen[key] += 1
        return key in self._before
