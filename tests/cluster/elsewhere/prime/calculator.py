"""What its tasks compute: a module of its own, which each worker of Ray has to import."""

import collections
import itertools
from typing import Any

import ray
from kodosumi.core import Tracer

from prime import sieve


@ray.remote
def primes(low: int, high: int, tracer: Tracer) -> dict[str, Any]:
    """Return the primes from `low` up to `high`, and where they were found."""
    found = [number for number in range(low, high) if sieve.is_prime(number)]
    tracer.debug_sync(f"{len(found)} primes from {low}")
    context = ray.get_runtime_context()
    return {"primes": found, "node": context.get_node_id(), "job": context.get_job_id()}


def gaps(start: int, end: int, tasks: int, tracer: Tracer) -> dict[int, int]:
    """Return how often each gap occurs from `start` up to `end`; say of each task when it is done."""
    step = -(-(end - start) // tasks)
    left = [primes.remote(low, min(low + step, end), tracer) for low in range(start, end, step)]
    found: list[int] = []
    while left:
        (done,), left = ray.wait(left, num_returns=1)
        part = ray.get(done)
        assert part["node"]
        assert part["job"]
        found += part["primes"]
        tracer.markdown_sync(f"* found {len(part['primes'])} primes, {len(left)} tasks are left")
    return dict(collections.Counter(after - before for before, after in itertools.pairwise(sorted(found))))
