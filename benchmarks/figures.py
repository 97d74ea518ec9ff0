"""A figure: what was measured, beside what was promised."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Self


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number."""

    name: str
    value: float | None
    """None if there is no number; `note` says why."""
    unit: str
    target: float | None = None
    """What it should be at most, or at least for a rate; None if nothing was promised."""
    at_least: bool = False
    note: str = ""
    failed: bool = False
    """Whether it should have been measured and could not be."""

    @classmethod
    def not_served(cls, name: str, why: str) -> Self:
        """Return the place of a figure about something that this mesh does not serve."""
        return cls(name=name, value=None, unit="", note=f"not served yet: {why}")

    @classmethod
    def failure(cls, name: str, why: str) -> Self:
        """Return the place of a figure that could not be measured."""
        return cls(name=name, value=None, unit="", note=f"could not be measured: {why}", failed=True)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one or without a number."""
        if self.target is None or self.value is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)
