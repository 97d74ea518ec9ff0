"""The files of jobs as they were while the databases were copied, from a runner that goes on writing and deleting.

A file is never changed where it is: it is written beside and renamed (`LocalFiles`).  So a second name for it, which
costs nothing, keeps it as it is.  They are taken before the moment of the databases, and again after it: what a job has
had at that moment is there unless it both came and went meanwhile, and what is newer does no harm.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

FOLDER = "files"
"""Of the data directory."""
_UNDER_WAY = "under-way"
"""Of it: what is not whole."""
_PREFIX = ".agentmesh-backup-"
_LEFT_S = 86_400.0


@contextlib.contextmanager
def room(data_dir: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a folder for second names, where the files are.  Raises `OSError`."""
    for left in data_dir.glob(f"{_PREFIX}*"):  # by one that was killed: what is deleted stays on disk for it
        if left.lstat().st_mtime < time.time() - _LEFT_S:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=data_dir) as folder:
        yield pathlib.Path(folder)


def take(source: pathlib.Path, target: pathlib.Path) -> None:
    """Have every whole file below `source` below `target` as well, in place of what was there before."""
    for path in files(source):
        if path.startswith(f"{_UNDER_WAY}/"):
            continue
        place = target / path
        with contextlib.suppress(FileNotFoundError):  # it was deleted meanwhile
            if not place.exists():
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _name_again(source / path, place)
            elif not os.path.samestat((source / path).lstat(), place.lstat()):
                place.unlink()
                _name_again(source / path, place)


def files(folder: pathlib.Path) -> Iterator[str]:
    """Yield the paths of the files below a folder, within it, in an order; links are none."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            for path in files(folder / entry.name):
                yield f"{entry.name}/{path}"
        elif entry.is_file(follow_symlinks=False):
            yield entry.name


def _name_again(source: pathlib.Path, place: pathlib.Path) -> None:
    try:
        os.link(source, place, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # the folder is of another disk, or of one where a file has one name only
        shutil.copy2(source, place, follow_symlinks=False)
