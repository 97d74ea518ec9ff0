"""What is known of planned restarts beside the supervisor that makes them: a line in a file of the data directory."""

import os
import pathlib

FILE = "restarts"
DONE = "done"


def counted(folder: pathlib.Path) -> tuple[int, str]:
    """Return how many restarts there were, and how the last one went: `done`, or what went wrong."""
    try:
        count, _, how = (folder / FILE).read_text(encoding="utf-8").strip().partition(" ")
        return int(count), how
    except (OSError, ValueError):
        return 0, ""


def note(folder: pathlib.Path, how: str) -> None:
    """Write down how another one went."""
    count, _ = counted(folder)
    new = folder / f"{FILE}.new"
    new.write_text(f"{count + 1} {how}\n", encoding="utf-8")
    os.replace(new, folder / FILE)
