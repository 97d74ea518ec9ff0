"""What a job may say at once is counted in bytes."""

import pytest

from agentmesh.host.talk import limits


@pytest.mark.parametrize(("text", "size"), [("abc", 3), ("ü", 2), ("\N{GRINNING FACE}", 4), ("\ud800", 1)])
def test_bytes_are_counted_as_they_travel(text: str, size: int) -> None:
    """What cannot be encoded travels as a question mark."""
    assert size == limits.size(text)
    assert size == len(limits.encodable(text).encode())


def test_what_is_too_large_is_named() -> None:
    """By what it is, and how large."""
    limits.check("x" * limits.PAYLOAD_BYTES_MAX, "a result")

    with pytest.raises(ValueError, match="a result of 2097153 characters takes 4194306 bytes"):
        limits.check("ü" * (limits.PAYLOAD_BYTES_MAX // 2 + 1), "a result")


def test_a_long_text_loses_its_middle() -> None:
    """It begins and ends as it did, and has no half characters."""
    text = "begin " + "ü" * 1000 + " end"

    cut = limits.shortened(text, 101)

    assert cut.startswith("begin ü")
    assert cut.endswith("ü end")
    assert "\n…\n" in cut
    assert len(cut.encode()) <= 101 + len("\n…\n".encode())
    assert text == limits.shortened(text)
