"""How meshes that take turns are told of."""

from benchmarks.peers.contest import Promise
from benchmarks.peers.rounds import EMITTED, MANY, Round
from benchmarks.sides import told


def _round(base: float, other: float) -> Round:
    return {"one": {MANY: base, EMITTED: 7.0}, "two": {MANY: other}}


def test_the_base_is_told_as_measured_and_the_others_as_ratios_to_it() -> None:
    """Each ratio stands beside its own promise, and what was not asked for is left out."""
    promise = Promise(way="two", figure=MANY, peer="", ratio=0.95, at_least=True)
    plain, ratio = told([_round(100, 90), _round(50, 48), _round(10, 9.7)], "one", [promise], [MANY])

    assert (f"one: {MANY}", 50, None) == (plain.name, plain.value, plain.target)
    assert (f"two: {MANY}, to one", 0.96, 0.95, True) == (ratio.name, ratio.value, ratio.target, ratio.met)
