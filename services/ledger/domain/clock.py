"""The ledger's own clock: it can be set ahead, run faster, or stand still.

It never goes back, as who asks what has changed since then would miss it, and what is due would not come: a machine's
clock that was fast, and is set right, is no reason to.
"""

import dataclasses

from meshkit import clock

LAST_MS = 221_845_392_000_000
"""The first moment of the year 9000, where every clock stands still: times reckoned from then must still be dates."""


def wall_ms() -> int:
    """Return the mesh's time in ms since 1970; it goes forward when the machine's clock is set so, and never back."""
    return clock.steady_ms()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """At the mesh's time `wall`, the ledger's is `at`; from there it runs `scale` times as fast."""

    wall: int = 0
    at: int = 0
    scale: float = 1.0
    """0 stands still."""

    def now(self) -> int:
        """Return the ledger's time in ms since 1970."""
        return min(LAST_MS, self.at + int((wall_ms() - self.wall) * self.scale))

    def wait_s(self, moment: int) -> float | None:
        """Return how many of the machine's seconds it is until `moment`; None if it never comes by itself."""
        ahead = moment - self.now()
        if ahead <= 0:
            return 0.0
        return ahead / self.scale / 1000 if self.scale and moment <= LAST_MS else None

    def set(self, *, at: int | None = None, scale: float | None = None) -> "Clock":
        """Return a clock that says `at` now and runs `scale` as fast; what is None goes on as it is."""
        return Clock(
            wall=wall_ms(),
            at=self.now() if at is None else at,
            scale=self.scale if scale is None else scale,
        )
