"""Compares the rounds of ours with those of a peer, and says what was promised."""

import dataclasses
from collections.abc import Sequence

from benchmarks.apps import DECLARED, FORM, SHARED
from benchmarks.figures import Figure, median
from benchmarks.peers import ways
from benchmarks.peers.rounds import ACCEPTED, CPU, FEW, FINISHED, MANY, STATUSES, UNITS, Round
from benchmarks.report import number


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a ratio of ours to a peer's should be."""

    way: str
    figure: str
    peer: str
    ratio: float
    at_least: bool = False


_DBOS, _LANGGRAPH = ways.DBOS.name, ways.LANGGRAPH.name
_DBOS_POSTGRES = ways.DBOS_POSTGRES.name
_DECLARED_POSTGRES, _SHARED_POSTGRES = (way.name for _, way in ways.ON_POSTGRES)
_DECLARED, _SHARED, _SUMI = ways.mesh(DECLARED).name, ways.mesh(SHARED).name, ways.sumi(FORM).name
PROMISES = (
    Promise(way=_DECLARED, figure=ACCEPTED, peer=_DBOS, ratio=1.0),
    Promise(way=_DECLARED, figure=FINISHED, peer=_DBOS, ratio=0.7),
    Promise(way=_DECLARED, figure=STATUSES, peer=_DBOS, ratio=2.0, at_least=True),
    Promise(way=_SHARED, figure=FINISHED, peer=_DBOS, ratio=0.5),
    Promise(way=_SHARED, figure=FEW, peer=_DBOS, ratio=4.0, at_least=True),
    Promise(way=_SHARED, figure=MANY, peer=_DBOS, ratio=4.0, at_least=True),
    Promise(way=_SUMI, figure=ACCEPTED, peer=_DBOS, ratio=1.5),
    *(
        Promise(way=way, figure=figure, peer=_DBOS_POSTGRES, ratio=2.0, at_least=True)
        for way in (_DECLARED_POSTGRES, _SHARED_POSTGRES)
        for figure in (FEW, MANY)
    ),
    Promise(way=_DECLARED, figure=FINISHED, peer=_LANGGRAPH, ratio=1 / 30),
    Promise(way=_SHARED, figure=FINISHED, peer=_LANGGRAPH, ratio=1 / 30),
)
_ALL = (ACCEPTED, FINISHED, FEW, MANY, STATUSES, CPU)
_COMPARED = {_DBOS: _ALL, _DBOS_POSTGRES: _ALL, _LANGGRAPH: (FINISHED,)}
"""What is compared with each peer, whether something was promised or not."""
_ON_POSTGRES = frozenset((_DBOS_POSTGRES, _DECLARED_POSTGRES, _SHARED_POSTGRES))
"""Who is compared with nobody else, nor anybody else with them."""
_WORTH_NAMING = 0.1


def compare(rounds: Sequence[Round], way: str) -> list[Figure]:
    """Return the ratios of one of our ways to each peer that took part."""
    return [
        ratio(rounds, way, figure, peer)
        for peer, figures in _COMPARED.items()
        for figure in figures
        if (way in _ON_POSTGRES) == (peer in _ON_POSTGRES) and any(peer in each and way in each for each in rounds)
    ]


def absolute(rounds: Sequence[Round], way: str) -> list[Figure]:
    """Return the figures of one way as they are: the median of all rounds."""
    found = []
    for figure, unit in UNITS.items():
        values = [each[way][figure] for each in rounds if figure in each.get(way, {})]
        if values:
            note = f"{number(min(values))}..{number(max(values))} in {len(values)} rounds{_parts(rounds, way, figure)}"
            found.append(Figure(name=f"{way}: {figure}", value=median(values), unit=unit, note=note))
    return found


def ratio(rounds: Sequence[Round], way: str, figure: str, peer: str, promise: Promise | None = None) -> Figure:
    """Return the median of a figure's ratios, beside what was promised: `promise`, or what `PROMISES` say."""
    pairs = [(each[way][figure], each[peer][figure]) for each in rounds if way in each and peer in each]
    ratios = [ours / theirs for ours, theirs in pairs]
    ours, theirs = median([pair[0] for pair in pairs]), median([pair[1] for pair in pairs])
    promise = promise or next((p for p in PROMISES if (p.way, p.figure, p.peer) == (way, figure, peer)), None)
    spread = f"{number(min(ratios))}..{number(max(ratios))} in {len(ratios)} rounds"
    return Figure(
        name=f"{way}: {figure}, to {peer}",
        value=median(ratios),
        unit="x",
        target=promise.ratio if promise else None,
        at_least=promise.at_least if promise else figure not in (ACCEPTED, FINISHED, CPU),
        note=f"{spread}; {number(ours)} : {number(theirs)} {UNITS[figure]}",
    )


def _parts(rounds: Sequence[Round], way: str, figure: str) -> str:
    """Return what a figure consists of, largest first, if it was measured in parts."""
    start = f"{figure} in "
    values: dict[str, list[float]] = {}
    for each in rounds:
        for name, value in each.get(way, {}).items():
            if name.startswith(start):
                values.setdefault(name.removeprefix(start), []).append(value)
    parts = sorted(((median(found), name) for name, found in values.items()), reverse=True)
    return "".join(f"; {name} {number(value)}" for value, name in parts if value >= _WORTH_NAMING)
