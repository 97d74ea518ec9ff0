"""`python -m tests.faults`: run a campaign, print what it has seen; the exit code is 1 if a promise was broken."""

import argparse
import asyncio
import pathlib
import secrets
import sys
import tempfile
from collections import Counter

from tests.faults import plan, recovery
from tests.faults.campaign import Campaign, Outcome
from tests.faults.grounds import GROUNDS
from tests.faults.promises import PROMISES

_SHOWN = 10
ALL = "all"
"""Every shape, one after the other."""


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="which plan; default: any")
    parser.add_argument("--shape", choices=[*GROUNDS, ALL], default="embedded", help="what the mesh stands on")
    parser.add_argument("--faults", type=int, default=500, help="in each shape")
    parser.add_argument("--only", action="append", choices=list(plan.Kind), help="nothing but this; may be repeated")
    parser.add_argument("--short", action="store_true", help="nothing that takes long")
    parser.add_argument("--pause", type=float, default=1.6, help="seconds between two faults, on average")
    parser.add_argument("--submitters", type=int, default=4)
    parser.add_argument("--keep", type=pathlib.Path, help="where data and logs are kept; default: nowhere")
    arguments = parser.parse_args()
    broken = [run(shape, arguments) for shape in (GROUNDS if arguments.shape == ALL else (arguments.shape,))]
    return 1 if any(broken) else 0


def run(shape: str, arguments: argparse.Namespace) -> int:
    """Run a campaign on a mesh of this shape; return how many promises it has broken."""
    parts = plan.PARTS[shape]
    if arguments.only:
        parts = {kind: parts[kind] for kind in parts if kind in arguments.only}
    if not parts:
        print(f"{shape}: nothing of this can go wrong there")
        return 0
    print(f"seed {arguments.seed}, {shape}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="agentmesh-faults-") as name,
        GROUNDS[shape]() as ground,
    ):
        faults = plan.make(arguments.seed, arguments.faults, parts, pause_s=arguments.pause, short=arguments.short)
        for way in ground.ways:
            print(way, flush=True)
        folder = (arguments.keep or pathlib.Path(name)) / shape
        folder.mkdir(parents=True, exist_ok=True)
        campaign = Campaign(
            folder,
            faults,
            ground,
            seed=arguments.seed,
            submitters=arguments.submitters,
            pause_s=0.5,
            say=lambda text: print(f"  {text}", file=sys.stderr, flush=True),
        )
        outcome = asyncio.run(campaign.run())
    show(arguments.seed, outcome)
    return outcome.broken.count


def show(seed: int, outcome: Outcome) -> None:
    """Print what a campaign has seen."""
    injected = outcome.injected
    print(
        f"seed {seed}: {injected.total()} faults in {outcome.took_s:.0f} s, {outcome.acknowledged} jobs acknowledged,"
        f" {outcome.watched} watched"
    )
    by_kind: dict[str, Counter[str]] = {}
    for (kind, part), count in injected.items():
        by_kind.setdefault(kind, Counter())[part] += count
    for kind, parts in sorted(by_kind.items()):
        print(f"  {kind:16}{parts.total():5}  {', '.join(f'{part} {count}' for part, count in parts.most_common())}")
    for kind, times in sorted(outcome.recoveries.items()):
        middle, late = (recovery.quantile(times, share) for share in (0.5, 0.95))
        print(
            f"  well again after {kind:18}{len(times):5}  p50 {middle:.1f} s, p95 {late:.1f} s, max {max(times):.1f} s"
        )
    print(f"  ends: {', '.join(f'{end} {count}' for end, count in outcome.ends.most_common())}")
    print("broken promises")
    for promise, meaning in PROMISES.items():
        seen = outcome.broken.seen[promise]
        print(f"  {promise:16}{len(seen):5}  {meaning}")
        for what in seen[:_SHOWN]:
            print(f"{'':25}{what}")


if __name__ == "__main__":
    sys.exit(main())
