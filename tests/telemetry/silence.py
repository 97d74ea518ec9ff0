"""A program that tells a collector of which nothing is heard more than it would take; prints how long things took."""

import json
import sys
import time

from meshkit import telemetry
from meshkit.telemetry import Place, Span, Wanted, observability

SPANS = 20_000


def main() -> None:
    """Tell, wait until one try has failed, and end."""
    observability.configure("silence", wanted=Wanted(endpoint=sys.argv[1]))
    to = telemetry.active()
    assert to is not None
    place = Place("1" * 32, "2" * 16)
    told = time.perf_counter()
    for _ in range(SPANS):
        to.span(Span(name="x", place=place, parent="", start=1, end=2))
    told = time.perf_counter() - told
    ended = time.perf_counter()
    telemetry.stop()
    ended = time.perf_counter() - ended
    print(json.dumps({"told_s": told, "ended_s": ended}))


if __name__ == "__main__":
    main()
