"""Where apps stand: what the runner says of them, and what is true of an expose because of it."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping

from services.registry.domain.exposes import Expose


class State(enum.Enum):
    """Where the app of an expose stands; the names are those of the contract's `ExposeState`."""

    DRAFT = enum.auto()
    DEAD = enum.auto()
    DEPLOYING = enum.auto()
    RUNNING = enum.auto()
    DEPLOY_FAILED = enum.auto()
    UNHEALTHY = enum.auto()
    OUTDATED = enum.auto()

    @property
    def serves(self) -> bool:
        """Whether flows answer: of what was deployed, or of the version before it."""
        return self in (State.RUNNING, State.OUTDATED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AppStatus:
    """Where an app stands, as the runner says."""

    state: State
    message: str = ""
    heartbeat_at: datetime.datetime | None = None
    activity: str = ""
    """What is done before it can be loaded."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the runner said about all apps at one time."""

    apps: Mapping[str, AppStatus]
    """By expose id."""
    seen_at: datetime.datetime | None
    """When the runner last answered; None if it never did."""
    reachable: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is true of an expose now."""

    state: State
    message: str
    heartbeat_at: datetime.datetime | None
    alive_count: int
    flow_count: int
    stale: bool
    needs_reboot: bool


def standing(expose: Expose, snapshot: Snapshot) -> Standing:
    """Return what is true of `expose` now."""
    app = snapshot.apps.get(expose.name)
    if expose.is_draft:
        state, message = State.DRAFT, ""
    elif not snapshot.reachable:
        state = State.UNHEALTHY if expose.booted_etag else State.DEAD
        message = "the runner does not answer"
    elif app is not None:
        state, message = app.state, app.message
    elif expose.failure:
        state, message = State.DEPLOY_FAILED, expose.failure
    else:
        state, message = State.DEAD, ""
    alive_count = sum(flow.alive for flow in expose.flows) if state.serves else 0
    heartbeat_at = (app and app.heartbeat_at) or snapshot.seen_at or expose.updated_at
    return Standing(
        state=state,
        message=message,
        heartbeat_at=heartbeat_at,
        alive_count=alive_count,
        flow_count=len(expose.flows),
        stale=expose.enabled and alive_count < len(expose.flows),
        needs_reboot=_needs_reboot(expose, state, placed=app is not None),
    )


def _needs_reboot(expose: Expose, state: State, *, placed: bool) -> bool:
    if expose.enabled and not expose.is_draft:
        return state is not State.RUNNING or expose.booted_etag != expose.etag
    return placed
