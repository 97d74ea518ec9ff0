"""What a program prints, read while it runs."""

from typing import IO


def read_to(stream: IO[str], word: str) -> str:
    """Return what comes up to the line that has a word.  Raises `AssertionError` at the end of the program."""
    said = ""
    while word not in said:
        line = stream.readline()
        assert line, f"it ended without {word!r}: {said}"
        said += line
    return said
