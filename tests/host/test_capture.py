"""What is printed becomes whole lines."""

from agentmesh.host.capture import LINE_CHARS_MAX, LineWriter


def test_lines_come_out_whole_and_stripped() -> None:
    """A line is emitted when it ends; blank ones are dropped; the rest comes with `finish`."""
    lines: list[str] = []
    writer = LineWriter(lines.append, 1)

    print("one", end=" ", file=writer)
    print("line  ", file=writer)
    print("\n\n", file=writer)
    writer.write("the rest")
    before = list(lines)
    writer.finish()

    assert ["one line"] == before
    assert ["one line", "the rest"] == lines


def test_a_line_without_end_is_cut() -> None:
    """A job that never breaks its line cannot fill the memory."""
    lines: list[str] = []
    writer = LineWriter(lines.append, 1)

    writer.write("x" * (LINE_CHARS_MAX + 1))

    assert 1 == len(lines)
