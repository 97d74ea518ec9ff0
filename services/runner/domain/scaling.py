"""How many hosts an app gets where that follows its jobs: Ray Serve's `autoscaling_config`, with Serve's defaults.

An app has as many hosts as its open jobs need, so many jobs each, between a least and a most number.  More are started
once that has been so for a while, and fewer are kept once it has not been so for longer.  An app without hosts, and
with a job, gets one at once.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What a bootstrap says of it."""

    least: int = 1
    """0 if the app has no host while it has nothing to do."""
    most: int = 1
    jobs_per_host: float = 2.0
    up_delay_s: float = 30.0
    down_delay_s: float = 600.0

    def wanted(self, jobs: int) -> int:
        """Return how many hosts so many open jobs need."""
        return min(max(math.ceil(jobs / self.jobs_per_host), self.least), self.most)


class Pressure:
    """For how long an app has had too few hosts, or too many."""

    def __init__(self) -> None:
        self._since = 0.0
        self._direction = 0

    def decide(self, scaling: Scaling, hosts: int, jobs: int, now: float) -> int:
        """Return how many hosts an app is to have that has `hosts` of them and `jobs` open ones, at the time `now`."""
        wanted = scaling.wanted(jobs)
        direction = (wanted > hosts) - (wanted < hosts)
        if direction != self._direction:
            self._direction, self._since = direction, now
        delay_s = scaling.up_delay_s if direction > 0 else scaling.down_delay_s
        if direction == 0 or (now - self._since < delay_s and not (hosts == 0 and direction > 0)):
            return hosts
        self._direction = 0
        return wanted
