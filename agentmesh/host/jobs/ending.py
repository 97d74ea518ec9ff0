"""The end of a job's process: what a Python program does at its end is done, though the process ends at once.

Exit handlers run, and what was written to files is in them, before the job's end is reported.  What the app has left
behind at its import, before the fork, is not the job's: its exit handlers would end what other jobs still use.  Threads
are not waited for.
"""

import atexit
import contextlib
import gc
import io
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from agentmesh.host.jobs.capture import is_text_stream

PATIENCE_S = 5.0
"""How long exit handlers and files may take."""

_FILES = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_inherited: list[Any] = []
"""Files that the app has opened at its import."""


def prepare() -> None:
    """Call in the zygote before anything is forked: what waits in open files would be written by each fork."""
    _inherited[:] = _files()
    _flush(_inherited)


def inherit_nothing() -> None:
    """Call in a fork: from now on the exit handlers are its own."""
    atexit._clear()  # as the forks of multiprocessing do
    for inherited in _finalizers():
        inherited.atexit = False
    atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = True  # type: ignore[attr-defined]


def wind_up(give_up: Callable[[str], object]) -> None:
    """Run the exit handlers and write out files; `give_up` is called in a thread if that takes too long.

    It gets the words for that, and ends the process.  A job that has left neither need not wait for that thread.
    """
    with contextlib.suppress(Exception):  # a flow may have patched what this stands on
        files = [*_inherited, *_files()]
        if not _has_left_something(files):
            _flush([*_standard(), *files])
            return
    late = f"exit handlers and open files took longer than {PATIENCE_S:g} s: the job ends without them"
    done = threading.Lock()

    def on_time() -> None:
        if done.acquire(blocking=False):
            give_up(late)

    timer = threading.Timer(PATIENCE_S, on_time)
    timer.daemon = True
    timer.start()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    with contextlib.suppress(Exception):
        _flush([*_inherited, *_files()])  # exit handlers may have opened some
    if not done.acquire(blocking=False):  # it is being ended
        threading.Event().wait()
    timer.cancel()


def _has_left_something(files: list[Any]) -> bool:
    standard = _standard()
    others = [file for file in files if not (is_text_stream(file) or any(file is stream for stream in standard))]
    return bool(others) or atexit._ncallbacks() > 1 or any(each.atexit for each in _finalizers())


def _standard() -> list[Any]:
    return [stream for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__) if stream is not None]


def _finalizers() -> list[Any]:
    return list(weakref.finalize._registry)  # type: ignore[attr-defined]


def _files() -> list[Any]:
    """Return files that are open for writing; not those that were there before a `gc.freeze`."""
    found = [item for item in gc.get_objects() if issubclass(type(item), _FILES)]
    return sorted(found, key=lambda item: not issubclass(type(item), io.TextIOWrapper))


def _flush(files: list[Any]) -> None:
    for file in files:
        with contextlib.suppress(Exception):  # closed, for reading only, or the disk is full
            file.flush()
