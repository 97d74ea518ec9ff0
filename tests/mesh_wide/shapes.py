"""Compare an answer with one that was printed in a document: same keys, same types, same nulls, same constants."""

from collections.abc import Collection
from typing import Any


def assert_like(actual: Any, golden: Any, *, varies: Collection[str] = (), at: str = "$", more: bool = False) -> None:
    """Raise `AssertionError` unless `actual` has the shape of `golden`.

    Mappings must have the same keys, lists the same length, and values must be equal, except those of the keys in
    `varies`: of these only the type must be the same.  Whole and other numbers are one type, as in JSON.  With `more`
    a mapping may have more keys than were printed.
    """
    assert _kind(actual) == _kind(golden), f"{at} is {actual!r}, expected something like {golden!r}"
    if isinstance(golden, dict):
        assert set(actual) >= set(golden), f"{at} has {sorted(actual)}, expected {sorted(golden)}"
        assert more or set(actual) == set(golden), f"{at} has {sorted(actual)}, expected {sorted(golden)}"
        for key, value in golden.items():
            if key in varies:
                assert _kind(actual[key]) == _kind(value), f"{at}.{key} is {actual[key]!r}, expected like {value!r}"
            else:
                assert_like(actual[key], value, varies=varies, at=f"{at}.{key}", more=more)
    elif isinstance(golden, list):
        assert len(actual) == len(golden), f"{at} has {len(actual)} items, expected {len(golden)}: {actual!r}"
        for number, (left, right) in enumerate(zip(actual, golden, strict=True)):
            assert_like(left, right, varies=varies, at=f"{at}[{number}]", more=more)
    else:
        assert actual == golden, f"{at} is {actual!r}, expected {golden!r}"


def _kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__
