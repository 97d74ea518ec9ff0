"""What is true of an expose, given what the runner says."""

import dataclasses
import datetime

import pytest

from services.registry.domain.exposes import Expose, FoundFlow
from services.registry.domain.standings import AppStatus, Snapshot, State, standing

NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
PLAIN = Expose(
    name="shop",
    bootstrap="import_path: a:b",
    created_at=NOON,
    updated_at=NOON,
    flows=(FoundFlow(path="/", alive=True), FoundFlow(path="/dead")),
)
BOOTED = dataclasses.replace(PLAIN, booted_etag=PLAIN.etag)


def snapshot(state: State | None, message: str = "", *, reachable: bool = True) -> Snapshot:
    """Return what the runner says of the app `shop`; None if it has no such app."""
    apps = {} if state is None else {"shop": AppStatus(state=state, message=message)}
    return Snapshot(apps=apps, seen_at=NOON, reachable=reachable)


@pytest.mark.parametrize(
    ("expose", "seen", "state", "alive_count", "needs_reboot"),
    [
        (dataclasses.replace(PLAIN, bootstrap=""), snapshot(None), State.DRAFT, 0, False),
        (PLAIN, snapshot(None), State.DEAD, 0, True),
        (dataclasses.replace(PLAIN, failure="why"), snapshot(None), State.DEPLOY_FAILED, 0, True),
        (PLAIN, snapshot(None, reachable=False), State.DEAD, 0, True),
        (BOOTED, snapshot(None, reachable=False), State.UNHEALTHY, 0, True),
        (BOOTED, snapshot(State.DEPLOYING), State.DEPLOYING, 0, True),
        (BOOTED, snapshot(State.RUNNING), State.RUNNING, 1, False),
        (PLAIN, snapshot(State.RUNNING), State.RUNNING, 1, True),
        (BOOTED, snapshot(State.OUTDATED), State.OUTDATED, 1, True),
        (BOOTED, snapshot(State.UNHEALTHY), State.UNHEALTHY, 0, True),
        (dataclasses.replace(BOOTED, enabled=False), snapshot(State.RUNNING), State.RUNNING, 1, True),
        (dataclasses.replace(PLAIN, enabled=False), snapshot(None), State.DEAD, 0, False),
    ],
)
def test_where_an_expose_stands(
    expose: Expose, seen: Snapshot, state: State, alive_count: int, needs_reboot: bool
) -> None:
    """Flows answer of an app that serves, the version before included; a boot helps what is not as it was saved."""
    found = standing(expose, seen)

    assert (state, alive_count, 2, needs_reboot) == (
        found.state,
        found.alive_count,
        found.flow_count,
        found.needs_reboot,
    )
