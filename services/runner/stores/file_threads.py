"""The threads in which files are read and written: their own, so that a slow disk keeps nobody else waiting."""

import asyncio
import concurrent.futures
import errno
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from meshkit.errors import NotFound, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
_THREADS = 8


class FileThreads:
    """A few threads; they end when nobody needs them any more."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="files")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in a thread.  Raises `NotFound` where there is no such file, `Unavailable` for other trouble."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound("there is no such file", resource="files") from None
        except OSError as error:
            raise Unavailable(f"files cannot be kept or read now: {_why(error)}") from error


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "there is no room"
    if isinstance(error, PermissionError):
        return "where they are does not let the mesh do so"
    return "where they are does not answer"
