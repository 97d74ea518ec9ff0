"""User ids for the hosts of one node: each nursery there counts its hosts from 0, and no two may share an id.

Who takes some holds a lock on a file that stands for them (flock(2)), and with it until its process ends.
"""

import contextlib
import fcntl
import os
import pathlib
import tempfile

from agentmesh.host.confine.settings import UIDS_PER_HOST, Settings
from agentmesh.host.own.environment import UIDS

_held: list[int] = []


def take(said: str) -> str:
    """Return a range of ids for one host out of the one that `said` names, as AGENTMESH_UIDS has it; empty for none.

    Raises `RuntimeError` if all are taken.
    """
    settings = Settings.of({UIDS: said})
    if settings.uids is None or os.geteuid() != 0:
        return ""
    first, last = settings.uids
    folder = pathlib.Path(tempfile.gettempdir(), f"agentmesh-uids-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o022:
        raise RuntimeError(f"{folder} is not ours alone: remove it")
    for uid in range(first, last - UIDS_PER_HOST + 2, UIDS_PER_HOST):
        fd = os.open(folder / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _held.append(fd)
            return f"{uid}-{uid + UIDS_PER_HOST - 1}"
        os.close(fd)
    raise RuntimeError(f"all user ids of {UIDS} are taken by hosts of this machine: name a larger range")
