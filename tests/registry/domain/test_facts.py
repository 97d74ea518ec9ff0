"""What sort of fact each is."""

import datetime

import pytest

from services.registry.domain import facts
from services.registry.domain.facts import Fact, Kind
from services.registry.domain.standings import State

FACTS = [
    item for item in vars(facts).values() if isinstance(item, type) and issubclass(item, Fact) and item is not Fact
]
LAST = {facts.RefreshCompleted, facts.StopCompleted, facts.BootFailed}
"""They only end a run, which gives them their kind."""


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact not in LAST])
def test_every_fact_on_the_way_has_a_kind(fact: type[Fact]) -> None:
    """And none of them is that of a last one."""
    if fact is facts.AppSettled:
        return
    blank = object.__new__(fact)

    assert facts.kind_of(blank) not in (Kind.COMPLETE, Kind.ERROR)


@pytest.mark.parametrize(
    ("state", "kind"),
    [(State.RUNNING, Kind.RESULT), (State.OUTDATED, Kind.WARNING), (State.DEPLOY_FAILED, Kind.WARNING)],
)
def test_an_app_that_does_not_run_is_a_warning(state: State, kind: Kind) -> None:
    """One that serves an older version too."""
    assert kind is facts.kind_of(facts.AppSettled(expose="x", state=state, load_time=datetime.timedelta()))
