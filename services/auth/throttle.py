"""Slow down guessing, without letting who guesses shut others out.

Failures are counted for a name *and* an address: after a few, that address has to wait longer and longer for that
name, and nobody else has.  A name that is guessed from many addresses becomes hot: from then on each address has one
attempt at it in place of a few, so that a crowd of addresses gets little more than one guess each, and the owner, from
wherever they sign in, still has theirs.  A success clears its own pair only: it says nothing about who else guesses.
"""

import collections
import dataclasses
import ipaddress
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from meshkit.errors import Exhausted

FREE_FAILURES = 5
"""This many failures in a row cost nothing: people mistype."""
HOT_FAILURES = 30
"""A name with this many, from all addresses together, is hot."""
HOT_FREE_FAILURES = 1
WAIT_MAX_S = 60.0
FORGET_S = 15 * 60.0
PAIRS_MAX = 20_000
NAMES_MAX = 10_000
_IPV6_BITS = 64  # a network of this size is one household's or one machine's (RFC 6177)

Key = TypeVar("Key", bound=Hashable)


@dataclasses.dataclass(slots=True)
class _Record:
    failures: int
    failed_at: float


class _Failures(Generic[Key]):
    """Recent failures by a key; the oldest are forgotten first when there are too many keys."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._records: collections.OrderedDict[Key, _Record] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def find(self, key: Key, now: float) -> _Record:
        record = self._records.get(key)
        if record is not None and now - record.failed_at >= FORGET_S:
            del self._records[key]
            record = None
        return record or _Record(0, now)

    def add(self, key: Key, now: float) -> None:
        record = self.find(key, now)
        self._records.pop(key, None)
        self._records[key] = _Record(record.failures + 1, now)
        if len(self._records) > self._keys_max:
            self._records.popitem(last=False)

    def clear(self, key: Key) -> None:
        self._records.pop(key, None)


class Throttle:
    """Remembers recent failures, in bounded memory.

    The wait of a pair is 1, 2, 4 ... 60 seconds, and refused attempts do not extend it.  `address` is empty for who
    is not known by one: those are one address.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pairs = _Failures[tuple[str, str]](PAIRS_MAX)
        self._names = _Failures[str](NAMES_MAX)

    def check(self, name: str, address: str) -> None:
        """Raise `Exhausted`, saying how long to wait, if `name` was tried from `address` too often."""
        now = self._now()
        record = self._pairs.find((name, network_of(address)), now)
        refuse_if_early(record.failures, self._names.find(name, now).failures, now - record.failed_at)

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        now = self._now()
        self._pairs.add((name, network_of(address)), now)
        self._names.add(name, now)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of `name` from `address`."""
        self._pairs.clear((name, network_of(address)))


def refuse_if_early(of_pair: int, of_name: int, age_s: float) -> None:
    """Raise `Exhausted` if a pair of name and address must wait, whose last failure is `age_s` old.

    `of_pair` and `of_name` are how many failures they have.
    """
    excess = of_pair - (HOT_FREE_FAILURES if of_name >= HOT_FAILURES else FREE_FAILURES)
    if excess < 0:
        return
    wait_s = min(2.0 ** min(excess, 10), WAIT_MAX_S) - age_s
    if wait_s > 0:
        raise Exhausted(f"too many failed attempts: try again in {max(1, round(wait_s))} s", retry_after_s=wait_s)


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the network, as whoever has one address there has all of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _IPV6_BITS), strict=False))
