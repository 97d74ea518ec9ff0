"""Badges by which hosts show that this runner started them: they live minutes, and are renewed while one is attached.

A host dials with a badge when it starts and when its stream has broken.  What it got last is good for most of its life,
so the runner may be away for minutes before a host that comes back is not let in any more, and ends.
"""

import math
from collections.abc import Callable

from agentmesh_protos.runner.v1 import host_pb2

from meshkit import clock, identity

Renew = Callable[[], host_pb2.RunnerMessage | None]
TTL_S = 600.0
_RENEW_AFTER = 1 / 3


class HostBadges:
    """Signs for the hosts of one mesh."""

    def __init__(self, secret: bytes, ttl_s: float = TTL_S, now: clock.Now = clock.now) -> None:
        self._secret = secret
        self._ttl_s = ttl_s
        self._now = now

    def sign(self, host_id: str) -> str:
        """Return a badge for a host."""
        return identity.sign(self._secret, f"host:{host_id}", "runner", self._ttl_s, now=self._now())

    def renewals(self, host_id: str) -> Renew:
        """Return what has a new badge for the host of one stream whenever it is due: at once, then long before the end.

        It goes by the clock that badges are verified by, so that a machine that has slept is not late.
        """
        signed_at = -math.inf

        def renew() -> host_pb2.RunnerMessage | None:
            nonlocal signed_at
            now = self._now()
            if signed_at <= now < signed_at + self._ttl_s * _RENEW_AFTER:
                return None
            signed_at = now
            return host_pb2.RunnerMessage(renewal=host_pb2.Renewal(badge=self.sign(host_id)))

        return renew
