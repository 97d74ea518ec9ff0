"""How rounds become ratios."""

from benchmarks.peers import contest, ways
from benchmarks.peers.rounds import ACCEPTED, CPU, FEW, FINISHED, MANY, STATUSES, Round

DECLARED = ways.mesh("bench-declared").name


def _round(ours: float, theirs: float) -> Round:
    """Return a round in which everything of ours is one number and everything of DBOS another."""
    names = (ACCEPTED, FINISHED, FEW, MANY, STATUSES, CPU)
    return {DECLARED: dict.fromkeys(names, ours), ways.DBOS.name: dict.fromkeys(names, theirs)}


def test_a_ratio_is_the_median_of_each_rounds_own() -> None:
    """A round in which the machine was slow for both counts as any other."""
    rounds = [_round(5, 10), _round(50, 100), _round(9, 10)]
    accepted = contest.compare(rounds, DECLARED)[0]

    assert f"{DECLARED}: {ACCEPTED}, to dbos" == accepted.name
    assert (0.5, 1.0, True) == (accepted.value, accepted.target, accepted.met)
    assert "0.50..0.90 in 3 rounds; 9 : 10 ms" == accepted.note


def test_a_rate_is_better_when_it_is_higher() -> None:
    """Twice the answers of DBOS are promised, and 1.5 times are a miss."""
    figures = {figure.name: figure for figure in contest.compare([_round(15, 10)], DECLARED)}

    assert False is figures[f"{DECLARED}: {STATUSES}, to dbos"].met


def test_only_rounds_of_both_are_compared() -> None:
    """Who failed in a round, or took no part, has no ratio of it."""
    whole, part = _round(5, 10), {DECLARED: _round(99, 1)[DECLARED]}

    assert 0.5 == contest.compare([whole, part], DECLARED)[0].value
    assert [] == contest.compare([part], DECLARED)


def test_a_figure_names_its_parts_largest_first() -> None:
    """The processor time of a job says which processes it went into; what is next to nothing is left out."""
    measured = {CPU: 9.0, f"{CPU} in gateway": 3.0, f"{CPU} in runner": 6.0, f"{CPU} in auth": 0.01}
    plain = {
        figure.name: figure
        for figure in contest.absolute([{DECLARED: {**_round(1, 1)[DECLARED], **measured}}], DECLARED)
    }

    assert plain[f"{DECLARED}: {CPU}"].note.endswith("; runner 6; gateway 3")


def test_every_promise_is_of_something_that_is_measured() -> None:
    """A promise whose names are misspelt would be met by nobody noticing it."""
    names = {way.name for _, way in (*ways.OURS, *ways.ON_POSTGRES)}

    assert names >= {promise.way for promise in contest.PROMISES}
    assert {ways.DBOS.name, ways.DBOS_POSTGRES.name, ways.LANGGRAPH.name} >= {
        promise.peer for promise in contest.PROMISES
    }
