"""UUIDs of version 7."""

import concurrent.futures
import uuid

from meshkit.uuids import Maker, is_uuid, make


def test_an_id_is_of_version_7_and_says_when() -> None:
    """As RFC 9562 has it: milliseconds first."""
    made = uuid.UUID(Maker(lambda: 0x0123456789AB)())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.hex.startswith("0123456789ab")


def test_ids_sort_by_creation_though_time_stands_or_goes_back() -> None:
    """More in a millisecond than the counter holds, and a clock that is set back."""
    clock = iter([5] * 5000 + [3] * 10 + [9])
    maker = Maker(lambda: next(clock))
    ids = [maker() for _ in range(5011)]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert ids[-1].startswith("00000000-0009")


def test_threads_make_different_ones() -> None:
    """Of one maker."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: make(), range(2000)))

    assert len(set(ids)) == 2000


def test_what_looks_like_one() -> None:
    """Lower case, with hyphens."""
    made = make()

    assert is_uuid(made)
    assert not any(map(is_uuid, ("", made.upper(), made[:-1], made.replace("-", ""), f"{made}\n", f"x{made}")))
