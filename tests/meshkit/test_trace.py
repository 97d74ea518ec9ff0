"""Which `traceparent` says where we are: https://www.w3.org/TR/trace-context/."""

import pytest

from meshkit.telemetry import trace

TRACE, SPAN = "1" * 32, "2" * 16


@pytest.mark.parametrize(
    "header",
    [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-03", f"01-{TRACE}-{SPAN}-01", f"01-{TRACE}-{SPAN}-ff-more"],
)
def test_a_sampled_span_is_a_place(header: str) -> None:
    """Whatever the other flags are, and whatever a later version adds."""
    assert trace.parse(header) == trace.Place(TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}-00",  # not sampled
        f"00-{TRACE}-{SPAN}-02",
        f"00-{TRACE}-{SPAN}-01-more",  # not of this version
        f"01-{TRACE}-{SPAN}-01more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{'A' * 32}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_others_say_nothing(header: str) -> None:
    """Neither what is not to be told of nor what is no such header."""
    assert trace.parse(header) is None


def test_spans_within_a_span_have_ids_of_their_own() -> None:
    """Of the same trace, each with sixteen digits; an id that is given is taken."""
    outer = trace.Place(TRACE, SPAN)
    inner = {outer.inner() for _ in range(100)}

    assert len(inner) == 100
    assert all(len(place.span_id) == 16 and trace.parse(place.traceparent) == place for place in inner)
    assert outer.inner(SPAN) == outer
