"""What is printed becomes whole lines."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from agentmesh._job.progress import Throttle
from agentmesh.host.jobs.capture import LINE_CHARS_MAX, PART_S, LineWriter, text_stream


class Screen:
    """A writer, the lines that come out, and all that was drawn."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.drawn: list[dict[str, Any]] = []
        clock = iter(range(1_000_000))  # a second for each look at it, so that nothing is held back
        throttle = Throttle(lambda payload: self.drawn.append(json.loads(payload)), now=lambda: float(next(clock)))
        self.writer = LineWriter(self.lines.append, throttle)

    def write(self, *parts: str) -> "Screen":
        """Write each part, then end."""
        for part in parts:
            self.writer.write(part)
        self.writer.finish()
        return self

    @property
    def texts(self) -> list[str]:
        """Return what was drawn."""
        return [item["text"] for item in self.drawn]


def test_lines_come_out_whole_and_stripped() -> None:
    """A line is emitted when it ends; blank ones are dropped; the rest comes with `finish`."""
    lines: list[str] = []
    writer = LineWriter(lines.append)

    writer.write("one ")
    writer.write("line  \n")
    writer.write("\n\n\n")
    writer.write("the rest")
    before = list(lines)
    writer.finish()

    assert ["one line"] == before
    assert ["one line", "the rest"] == lines


def test_a_line_without_end_is_cut() -> None:
    """A job that never breaks its line cannot fill the memory."""
    lines: list[str] = []
    writer = LineWriter(lines.append)

    writer.write("x" * (LINE_CHARS_MAX + 1))
    before = [len(line) for line in lines]
    writer.write("y" * 20_000_000 + "\n")

    assert [LINE_CHARS_MAX] == before
    assert LINE_CHARS_MAX == max(len(line) for line in lines)
    assert LINE_CHARS_MAX + 20_000_001 == sum(len(line) for line in lines)


def test_a_part_of_a_line_waits_for_the_rest() -> None:
    """For a moment, from when it began; then it is emitted as it is, and the rest behind it."""
    lines: list[str] = []
    calls: list[Callable[[], None]] = []
    now_s = 100.0
    writer = LineWriter(lines.append, later=lambda delay_s, call: calls.append(call), now=lambda: now_s)

    writer.write("Name? ")
    writer.write("(or none) ")
    early = calls.pop()
    early()  # it is not time yet: another is set
    before = list(lines)
    now_s += PART_S
    calls.pop()()
    writer.write("Ann\nnext\n")

    assert ([], []) == (before, calls)
    assert ["Name? (or none)", "Ann", "next"] == lines


def test_the_stream_is_a_text_stream_as_any() -> None:
    """With a binary one below; characters may come in parts, lines in any number."""
    lines: list[str] = []
    stream = text_stream(LineWriter(lines.append), "stdout", 1)

    stream.writelines(["a\n", "b"])
    stream.write("c\n")
    stream.buffer.write(b"Gr\xc3")
    stream.buffer.write(b"\xbc\xc3\x9fe \xff\n")
    stream.write("lone \ud800\n")
    told = (stream.isatty(), stream.fileno(), stream.encoding, stream.errors, stream.name, stream.writable())
    stream.reconfigure(errors="backslashreplace")
    stream.write("\udfff\n")

    assert ["a", "bc", "Grüße \ufffd", "lone ?", "\\udfff"] == lines
    assert (False, 1, "utf-8", "replace", "<stdout>", True) == told
    with pytest.raises(io.UnsupportedOperation):
        stream.read()


def test_what_is_drawn_over_is_progress() -> None:
    """With the return before or behind it; a line comes of it when a line break ends it."""
    before = Screen().write("\r10%", "\r20%", "\r30% done\n", "next\n")
    behind = Screen().write("10%\r", "20%\r", "30% done\n", "next\n")

    assert (["30% done", "next"], ["10%", "20%", "30% done"]) == (before.lines, before.texts)
    assert (before.lines, before.texts) == (behind.lines, behind.texts)
    assert [10.0, 20.0, 30.0] == [item["percent"] for item in before.drawn]


def test_one_write_may_draw_much() -> None:
    """The last of it is what is to be seen."""
    screen = Screen().write("start\r 1%\r 2%\r 3%", "\r      \r", "\x1b[2Kfour\r", "\x1b[32m5%\x1b[0m\r")

    assert ([], ["3%", "four", "5%"]) == (screen.lines, screen.texts)


@pytest.mark.parametrize("parts", [("a\r\nb\r\n\r\nc",), ("a\r", "\nb", "\r\n", "\r\nc"), ("a\r\n", "b\r\n\r", "\nc")])
def test_two_characters_may_end_a_line(parts: tuple[str, ...]) -> None:
    """As programs for Windows do, wherever a write ends."""
    assert ["a", "b", "c"] == Screen().write(*parts).lines


def test_what_is_left_is_a_line() -> None:
    """A text without line break that was drawn over another, too; one that awaits being drawn over is not."""
    assert ["final"] == Screen().write("10%\r", "final").lines
    assert [] == Screen().write("10%\r", "20%\r").lines


def test_a_drawn_line_without_end_is_cut() -> None:
    """As any other."""
    screen = Screen().write("\r" + "x" * (LINE_CHARS_MAX + 1))

    assert ([LINE_CHARS_MAX, 1], [1000]) == (
        [len(line) for line in screen.lines],
        [len(text) for text in screen.texts],
    )


def drawn_by(code: str) -> Screen:
    """Return what comes of a program's output, bar by bar as it wrote it."""
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout
    return Screen().write(*(f"\r{part}" for part in output.decode().split("\r")))


def test_a_bar_of_tqdm() -> None:
    """Its percentage and its counts are understood; one line remains of it."""
    code = "from tqdm import tqdm\nfor _ in tqdm(range(4), desc='Load', mininterval=0, miniters=1): pass"

    screen = drawn_by(code)

    assert [(n, 4, n * 25.0) for n in range(5)] == [
        (item["done"], item["total"], item["percent"]) for item in screen.drawn[:5]
    ]
    assert (1, True) == (len(screen.lines), screen.lines[0].startswith("Load: 100%"))


def test_bars_within_bars() -> None:
    """Of several bars that are drawn below each other no line remains for each time."""
    code = (
        "from tqdm import tqdm\n"
        "for _ in tqdm(range(3), mininterval=0, miniters=1):\n"
        "    for _ in tqdm(range(50), leave=False, mininterval=0, miniters=1): pass"
    )

    screen = drawn_by(code)

    assert 150 < len(screen.drawn)
    assert 5 > len(screen.lines)
