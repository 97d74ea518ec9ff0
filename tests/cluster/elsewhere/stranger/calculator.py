"""What its tasks compute: a module of its own, which each worker of Ray has to import."""

import collections
import itertools

import ray
from kodosumi.core import Tracer

from stranger import sieve


@ray.remote
def primes(low: int, high: int, tracer: Tracer) -> list[int]:
    """Return the primes from `low` up to `high`."""
    found = [number for number in range(low, high) if sieve.is_prime(number)]
    tracer.debug_sync(f"{len(found)} primes from {low}")
    return found


def gaps(end: int, tasks: int, tracer: Tracer) -> dict[int, int]:
    """Return how often each gap occurs below `end`."""
    step = -(-end // tasks)
    parts = ray.get([primes.remote(low, min(low + step, end), tracer) for low in range(0, end, step)])
    found = [number for part in parts for number in part]
    return dict(collections.Counter(after - before for before, after in itertools.pairwise(found)))
