"""The folders that are a job's own: its HOME, and in it `tmp`, its TMPDIR.

```
hosts                of the nursery, which empties it when it starts
└─ HOST_ID           0700; removed when the host has ended
   ├─ app            of the app: its import, its handler
   └─ NUMBER         of a job, or of a worker and all jobs in it; removed when its process and what it started are gone
```

What jobs leave there is nobody's friend: folders a thousand deep, folders that nobody may enter, more files than
anybody wants to wait for.  `remove` takes them all, follows no links, and can be told when to give up.
"""

import contextlib
import itertools
import os
import pathlib
import queue
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator

HOME = "HOME"
TMPDIR = "TMPDIR"
_TMP = "tmp"
_PRIVATE = 0o700
_TRIES = 8
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IS_LINUX = sys.platform == "linux"
# There a folder can be named without leave to read it.
_ITSELF = _FOLDER | (os.O_PATH if _IS_LINUX else 0)


OF_THE_APP = "app"
"""The folder that is not a job's."""


class Folders:
    """The folders of one host's jobs, by number."""

    def __init__(self, root: pathlib.Path, given: Collection[str] = ()) -> None:
        """`root` is the host's folder; the variables whose names are `given` are the author's, and stay as they are."""
        self._root = root
        self._given = given

    def of(self, number: int) -> pathlib.Path:
        """Return where a job's folder is."""
        return self._root / str(number)

    def settle(self, number: int) -> None:
        """Make a job's folder, and be at home there.  Raises `OSError`."""
        settle(self.of(number), self._given)


class Cleaner:
    """Removes the folders of ended jobs: what is empty at once, the rest in a thread that nobody waits for."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._full: queue.SimpleQueue[pathlib.Path] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def clear(self, number: int) -> None:
        """Remove a job's folder, now or soon."""
        folder = self._folders.of(number)
        if remove_empty(folder):
            return
        self._full.put(folder)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="cleaner", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            folder = self._full.get()
            if not remove(folder):  # it goes with the host's
                print(f"host: {folder.name}, the folder of a job, cannot be removed", file=sys.stderr)


def make(folder: pathlib.Path) -> None:
    """Make `folder`, and TMPDIR in it, for nobody else.  Raises `OSError`."""
    folder.mkdir(mode=_PRIVATE, parents=True)
    (folder / _TMP).mkdir(mode=_PRIVATE)


def settle(folder: pathlib.Path, given: Collection[str] = ()) -> None:
    """Make `folder` and be at home there: HOME and TMPDIR are set, but for those whose names are `given`."""
    make(folder)
    be_at_home(folder, given)


def be_at_home(folder: pathlib.Path, given: Collection[str] = ()) -> None:
    """Be at home in `folder`, which is there: HOME and TMPDIR are set, but for those whose names are `given`."""
    if HOME not in given:
        os.environ[HOME] = str(folder)
    if TMPDIR not in given:
        os.environ[TMPDIR] = str(folder / _TMP)
        if "tempfile" in sys.modules:  # it keeps what it has found once
            tempfile.tempdir = str(folder / _TMP)


def remove_empty(folder: pathlib.Path) -> bool:
    """Remove what `make` made if it was left as it was; else return False, having perhaps removed some of it."""
    try:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(folder / _TMP)
            os.rmdir(folder)
    except OSError:
        return False
    return not os.path.lexists(folder)


def remove(folder: pathlib.Path, within_s: float = float("inf")) -> bool:
    """Remove `folder` and all that is in it; return False if some of it cannot be removed, or not `within_s`."""
    until = time.monotonic() + within_s
    for _ in range(_TRIES):  # what dies just now may still write
        try:
            _empty(folder, until)
            os.rmdir(folder)
        except FileNotFoundError:
            return True
        except OSError:
            if time.monotonic() > until:
                return False
        else:
            return True
    return False


def _empty(folder: pathlib.Path, until: float) -> None:
    """Remove what is in `folder`: folders in it are emptied into it, so neither depth nor length of names matters."""
    _open_up(None, str(folder))
    top = os.open(folder, _FOLDER)
    try:
        # Renaming a folder to a name that is taken would fail if there is something in that.
        names: Iterator[str] = (f".{os.getpid()}.{number}" for number in itertools.count())
        while entries := os.listdir(top):
            gone = False
            for name in entries:
                if time.monotonic() > until:
                    raise TimeoutError("took too long")
                with contextlib.suppress(OSError):
                    _remove_one(top, name, names)
                    gone = True
            if not gone:
                raise OSError("what is there cannot be removed")
    finally:
        os.close(top)


def _remove_one(top: int, name: str, names: Iterator[str]) -> None:
    if not stat.S_ISDIR(os.lstat(name, dir_fd=top).st_mode):
        os.unlink(name, dir_fd=top)
        return
    with contextlib.suppress(OSError):
        os.rmdir(name, dir_fd=top)
        return
    _open_up(top, name)
    inner = os.open(name, _FOLDER, dir_fd=top)
    try:
        for each in os.listdir(inner):
            if stat.S_ISDIR(os.lstat(each, dir_fd=inner).st_mode):
                _open_up(inner, each)  # moving a folder writes to it: its `..` changes
                os.rename(each, next(names), src_dir_fd=inner, dst_dir_fd=top)
            else:
                os.unlink(each, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def _open_up(parent: int | None, name: str) -> None:
    """Let ourselves into a folder, as whoever owned it could; never into what a link in its place leads to."""
    with contextlib.suppress(OSError):
        folder = os.open(name, _ITSELF, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{folder}" if _IS_LINUX else folder, _PRIVATE)
        finally:
            os.close(folder)
