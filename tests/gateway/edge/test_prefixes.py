"""Which paths are whose."""

import re

import pytest

from gateway.edge import prefixes


def test_a_dialect_has_what_it_alone_has() -> None:
    """The shortest paths, in whole segments, under which there is nothing of another."""
    found = prefixes.exclusive(
        {
            "one": ["/flow", "/api/login", "/-/{rest=**}", "/"],
            "two": ["/api/v1/pay", "/api/v1/pay/{id}", "/api/v1/dev/clock"],
            "three": ["/v1/jobs/{job}:watch", "/v1/jobs"],
            "four": ["/jobs{format}"],
        }
    )

    assert found == {"one": ("/-", "/api/login", "/flow"), "two": ("/api/v1",), "three": ("/v1",), "four": ()}


def test_what_two_share_is_split_further_down() -> None:
    """A dialect that is added takes from another only what it must; the same path is nobody's alone."""
    found = prefixes.exclusive({"one": ["/api/v1/pay/{id}", "/same"], "two": ["/api/v1/run", "/same"]})

    assert found == {"one": ("/api/v1/pay",), "two": ("/api/v1/run",)}


@pytest.mark.parametrize(
    ("path", "covered"), [("/a.b", True), ("/a.b/c", True), ("/a.b/", True), ("/a.bc", False), ("/axb", False)]
)
def test_a_prefix_covers_whole_segments(path: str, covered: bool) -> None:
    """In Python and in Envoy alike."""
    assert prefixes.covers("/a.b", path) is covered
    assert bool(re.fullmatch(prefixes.regex("/a.b"), path)) is covered
    assert bool(re.fullmatch(prefixes.regex("/a.b"), f"{path}?x=1")) is covered
