"""The mesh's log in its data folder, `logs/mesh.jsonl`: an object of JSON a line, cut into pieces of bounded size."""

import contextlib
import os
import pathlib

FOLDER, NAME = "logs", "mesh.jsonl"
PIECE_BYTES_MAX = 8 * 1024 * 1024
PIECES_MAX = 4
"""So a log takes 32 MiB at most."""


def pieces(data_dir: pathlib.Path) -> list[pathlib.Path]:
    """Return the files of the log of a mesh, the oldest first."""
    folder = data_dir / FOLDER
    names = [*(f"{NAME}.{number}" for number in range(PIECES_MAX - 1, 0, -1)), NAME]
    return [folder / name for name in names if (folder / name).is_file()]


class Kept:
    """Writes the log.  A disk that is full stops nobody: those lines are not kept."""

    def __init__(self, data_dir: pathlib.Path) -> None:
        self._file = data_dir / FOLDER / NAME
        self._sink = -1
        self._size = 0
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            self._open()

    def write(self, line: bytes) -> None:
        """Add a line."""
        with contextlib.suppress(OSError):
            if self._size + len(line) > PIECE_BYTES_MAX:
                self._turn()
            if self._sink >= 0:
                self._size += os.write(self._sink, line)

    def close(self) -> None:
        """Close the file."""
        if self._sink >= 0:
            os.close(self._sink)
            self._sink = -1

    def _open(self) -> None:
        self._sink = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._sink).st_size

    def _turn(self) -> None:
        """Begin another piece; the oldest is forgotten."""
        self.close()
        # Where there was no room for a new one the last time, nothing is moved: else all would be lost by and by.
        for number in range(PIECES_MAX - 1, 0, -1) if self._file.exists() else ():
            older = self._file.with_name(f"{NAME}.{number - 1}") if number > 1 else self._file
            with contextlib.suppress(FileNotFoundError):
                older.replace(self._file.with_name(f"{NAME}.{number}"))
        self._open()
