"""What is known of an app: where it stands, and what it offers."""

import dataclasses
import enum
import math

from agentmesh_protos.runner.v1 import app_pb2

from services.runner.domain import PlacedApp
from services.runner.domain.scaling import Scaling


class AppState(enum.Enum):
    """Where an app stands."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    UNHEALTHY = "unhealthy"
    OUTDATED = "outdated"


@dataclasses.dataclass(slots=True)
class App:
    """One app as it stands."""

    placed: PlacedApp
    resources_json: str
    state: AppState = AppState.STARTING
    message: str = ""
    detail: str = ""
    activity: str = ""
    """What a host does before it can load it."""
    flows: dict[str, app_pb2.FlowInfo] = dataclasses.field(default_factory=dict)
    """By path."""
    seen_at: float = 0.0
    losses: dict[int, int] = dataclasses.field(default_factory=dict)
    """Hosts that were lost in a row, by replica."""
    scaling: Scaling | None = None
    """How its hosts follow its jobs; None if it has as many as it has."""
    asked_at: float = -math.inf
    """When somebody has last wanted a host of it to answer something (`time.monotonic`)."""
    running_since: dict[int, float] = dataclasses.field(default_factory=dict)
    """By replica."""

    @property
    def expose(self) -> str:
        """The expose's id."""
        return self.placed.expose
