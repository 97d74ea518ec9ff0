"""Meshes side by side, in turn: what is compared is measured seconds apart, and told as ratios of each round."""

import asyncio
import sys
from collections.abc import Sequence

from benchmarks.figures import Figure
from benchmarks.http import Failed
from benchmarks.peers import contest
from benchmarks.peers.contest import Promise
from benchmarks.peers.rounds import WARM_UP, Contender, Measure, Round, Size, play


def play_all(contenders: Sequence[Contender], rounds: int, size: Size, steps: Sequence[Measure]) -> list[Round]:
    """Play a round to warm up and so many that count.  Raises `Failed` if anybody does."""

    async def plays() -> list[Round]:
        played = []
        for number in range(rounds + 1):
            print(f"round {number} of {rounds}" if number else "warming up", file=sys.stderr, flush=True)
            found, failed = await play(contenders, size if number else WARM_UP, number % len(contenders), steps)
            for contender, error in failed.items():
                raise Failed(f"{contender.way.name}: {error!r}") from error
            played.append(found)
        return played[1:]

    return asyncio.run(plays())


def told(rounds: Sequence[Round], base: str, promises: Sequence[Promise], figures: Sequence[str]) -> list[Figure]:
    """Return the figures of `base` as measured, and those of everybody that `promises` name as ratios to it."""
    plain = [figure for figure in contest.absolute(rounds, base) if figure.name.removeprefix(f"{base}: ") in figures]
    return plain + [contest.ratio(rounds, each.way, each.figure, base, each) for each in promises]
