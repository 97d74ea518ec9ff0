"""What is asked of the runner when an app is deployed, and what comes back."""

import dataclasses
import enum

from services.registry.domain.bounds import UNBOUNDED, Bounds
from services.registry.domain.exposes import FoundFlow
from services.registry.domain.standings import AppStatus, State


class Isolation(enum.Enum):
    """What separates the jobs of an app; the names are those of the runner's `Isolation`."""

    PROCESS = enum.auto()
    SHARED = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A bootstrap, ready to be deployed."""

    import_path: str
    runtime_env_json: str
    deployments_json: str
    fork: bool | None = None
    """None if the bootstrap does not say."""
    isolation: Isolation | None = None
    """None leaves it to the flows' author."""
    bounds: Bounds = UNBOUNDED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What came of a deploy: an app that serves, of the new version or (OUTDATED) still of the one before."""

    status: AppStatus
    flows: tuple[FoundFlow, ...]
    """What it offers, by path; none of them known to be alive yet."""

    @property
    def is_outdated(self) -> bool:
        """Whether the version before serves, because the new one did not load."""
        return self.status.state is State.OUTDATED


class DeployFailed(Exception):
    """The app could not be loaded, and nothing serves in its place; the text says why."""
