"""What operators see of the runner's work: who waits, what is held and by how many hosts."""

import collections
from collections.abc import Mapping, Sequence

from meshkit.telemetry import Telemetry
from services.runner.hosts.links import Hosts, Link
from services.runner.jobs.dispatcher import Dispatcher

_Readings = Sequence[tuple[float, Mapping[str, str]]]


def show(to: Telemetry, dispatcher: Dispatcher, hosts: Hosts) -> None:
    """Show them from now on; whoever asks is on another thread than those who write, and takes copies."""

    def links() -> list[Link]:
        return list(hosts.links.values())

    def waiting() -> _Readings:
        return [(dispatcher.waiting(expose), {"expose": expose}) for expose in dispatcher.exposes]

    def held() -> _Readings:
        found: collections.Counter[str] = collections.Counter()
        for link in links():
            found[link.expose] += len(link.slots)
        return [(count, {"expose": expose}) for expose, count in found.items()]

    def attached() -> _Readings:
        found = collections.Counter((link.expose, "yes" if link.attached else "no") for link in links())
        return [(count, {"expose": expose, "attached": state}) for (expose, state), count in found.items()]

    to.gauge("agentmesh.jobs.waiting", "Jobs that wait for a host", waiting)
    to.gauge("agentmesh.jobs.leased", "Jobs that hosts hold", held)
    to.gauge("agentmesh.hosts", "Hosts that are wanted, and whether they are here", attached)
