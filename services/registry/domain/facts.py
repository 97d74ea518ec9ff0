"""What happens in a boot, a refresh or a stop, as facts; whoever shows them finds the words.

Each fact is a message of the contract's `BootEvent` with the same name and fields; there `expose` is a resource name,
here an id.
"""

import dataclasses
import datetime
import enum

from services.registry.domain.standings import State


class Kind(enum.Enum):
    """What sort of fact it is; the names are those of the contract's `BootEvent.Kind`."""

    STEP_START = enum.auto()
    STEP_END = enum.auto()
    ACTIVITY = enum.auto()
    RESULT = enum.auto()
    INFO = enum.auto()
    WARNING = enum.auto()
    COMPLETE = enum.auto()
    """It ended, and nothing broke it off: the last one."""
    ERROR = enum.auto()
    """It was broken off, or did not reach its aim: the last one."""


class Operation(enum.Enum):
    """What is being done; the names are those of the contract's `BootOperation`."""

    BOOT = enum.auto()
    REFRESH = enum.auto()
    STOP = enum.auto()


class Step(enum.Enum):
    """What a boot does, in this order; a stop does REMOVE and RECORD.  The names are those of `BootStep`."""

    PREPARE = enum.auto()
    LOAD = enum.auto()
    REGISTER = enum.auto()
    CHECK = enum.auto()
    RECORD = enum.auto()
    REMOVE = enum.auto()


class Reason(enum.Enum):
    """Why an enabled expose cannot be deployed; the names are those of `ExposeSkipped.Reason`."""

    DRAFT = enum.auto()
    INVALID = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many there are; 0 for what is not counted."""

    app_count: int = 0
    """Apps to load."""
    running_count: int = 0
    """Apps that serve what was deployed."""
    outdated_count: int = 0
    """Apps that serve the version before."""
    failed_count: int = 0
    """Apps that do not serve."""
    left_count: int = 0
    """Apps that could not be stopped."""
    flow_count: int = 0
    alive_count: int = 0
    """Flows that answer."""
    new_count: int = 0
    """Flows that had no meta."""
    preserved_count: int = 0
    """Flows whose meta was kept."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that happened."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BootStarted(Fact):
    """A boot began, or within a refresh the app is started anew."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BootCompleted(Fact):
    """It ended; some apps may have failed."""

    runtime: datetime.timedelta
    counts: Counts


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RefreshStarted(Fact):
    """One app is to be restarted; if its expose is not `enabled`, only stopped."""

    expose: str
    enabled: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RefreshCompleted(Fact):
    """What was saved last runs; or nothing, if the expose is not enabled."""

    expose: str
    runtime: datetime.timedelta


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StopStarted(Fact):
    """Every app is to be stopped."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StopCompleted(Fact):
    """No app runs any more."""

    runtime: datetime.timedelta


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BootFailed(Fact):
    """It was broken off, or did not reach its aim."""

    operation: Operation
    runtime: datetime.timedelta
    message: str
    """Why, for people to read."""
    expose: str = ""
    """What it failed for; empty if for no single one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Fact):
    """A step began; what it counts is what there is to do."""

    step: Step
    timeout: datetime.timedelta | None = None
    """How long one app may take to load, if this is LOAD."""
    counts: Counts = Counts()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded(Fact):
    """A step ended; the contract says which counts it fills."""

    step: Step
    counts: Counts = Counts()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExposePrepared(Fact):
    """A bootstrap can be deployed."""

    expose: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExposeSkipped(Fact):
    """An enabled expose cannot be deployed."""

    expose: str
    reason: Reason
    message: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExposeNoted(Fact):
    """Something of a bootstrap has no effect."""

    expose: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppRemoved(Fact):
    """An app was stopped; its expose may be deleted."""

    expose: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppRemoveFailed(Fact):
    """An app could not be stopped."""

    expose: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppDeploying(Fact):
    """An app is being loaded."""

    expose: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppPreparing(Fact):
    """Something is done before an app can be loaded."""

    expose: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppSettled(Fact):
    """An app was loaded, or could not be: RUNNING, OUTDATED or DEPLOY_FAILED."""

    expose: str
    state: State
    load_time: datetime.timedelta
    message: str = ""
    flow_count: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowsFound(Fact):
    """The flows of an app are known."""

    expose: str
    paths: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowsProbed(Fact):
    """The flows of an app are being asked."""

    expose: str
    flow_count: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowChecked(Fact):
    """A flow was asked whether it answers; without an HTTP status `error_reason` says why there is none."""

    expose: str
    url: str
    alive: bool
    http_status: int = 0
    error_reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MetaMerged(Fact):
    """An expose's meta is in line with its flows."""

    expose: str
    flow_count: int
    new_count: int
    preserved_count: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExposeGone(Fact):
    """An expose was deleted while it was booted: its app runs until the next boot."""

    expose: str
    flow_count: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowsWithdrawn(Fact):
    """The flows of an expose that is refreshed are not offered any more; `runtime` is what that took."""

    expose: str
    enabled: bool
    runtime: datetime.timedelta


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExposeStopped(Fact):
    """An expose is written down as stopped."""

    expose: str


_KINDS: dict[type[Fact], Kind] = {
    BootStarted: Kind.INFO,
    BootCompleted: Kind.STEP_END,
    RefreshStarted: Kind.INFO,
    StopStarted: Kind.INFO,
    StepStarted: Kind.STEP_START,
    StepEnded: Kind.STEP_END,
    ExposePrepared: Kind.ACTIVITY,
    ExposeSkipped: Kind.WARNING,
    ExposeNoted: Kind.WARNING,
    AppRemoved: Kind.ACTIVITY,
    AppRemoveFailed: Kind.WARNING,
    AppDeploying: Kind.ACTIVITY,
    AppPreparing: Kind.ACTIVITY,
    FlowsFound: Kind.ACTIVITY,
    FlowsProbed: Kind.ACTIVITY,
    FlowChecked: Kind.RESULT,
    MetaMerged: Kind.RESULT,
    ExposeGone: Kind.WARNING,
    FlowsWithdrawn: Kind.RESULT,
    ExposeStopped: Kind.ACTIVITY,
}


def kind_of(fact: Fact) -> Kind:
    """Return what sort of fact it is, unless it is the last one."""
    if isinstance(fact, AppSettled):
        return Kind.RESULT if fact.state is State.RUNNING else Kind.WARNING
    return _KINDS[type(fact)]
