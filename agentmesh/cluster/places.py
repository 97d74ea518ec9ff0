"""User ids for the hosts of one node: each nursery there counts its hosts from 0, and no two hosts may share an id.

Who takes some holds a lock on a file that stands for them (flock(2)), and with it until its process ends.
"""

import fcntl
import os
import pathlib
import tempfile

from agentmesh.host.confine.settings import UIDS_PER_HOST, Settings
from agentmesh.host.own.environment import UIDS

_held: list[int] = []


def take(said: str, hosts: int = 1) -> tuple[str, int]:
    """Return a range of ids out of the one that `said` names, as AGENTMESH_UIDS has it, and for how many hosts it is.

    That are `hosts`, or fewer if no more are left in one piece.  Where hosts have no ids of their own the range is
    empty.  Raises `RuntimeError` if all are taken.
    """
    settings = Settings.of({UIDS: said})
    if settings.uids is None or os.geteuid() != 0:
        return "", hosts
    first, last = settings.uids
    folder = pathlib.Path(tempfile.gettempdir(), f"agentmesh-uids-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o022:
        raise RuntimeError(f"{folder} is not ours alone: remove it")
    while hosts:
        for uid in range(first, last - hosts * UIDS_PER_HOST + 2, UIDS_PER_HOST):
            if fds := _lock([folder / str(uid + place * UIDS_PER_HOST) for place in range(hosts)]):
                _held.extend(fds)
                return f"{uid}-{uid + hosts * UIDS_PER_HOST - 1}", hosts
        hosts //= 2
    raise RuntimeError(f"all user ids of {UIDS} are taken by hosts of this machine: name a larger range")


def _lock(paths: list[pathlib.Path]) -> list[int]:
    """Return descriptors that hold all of these files; none if one of them is another's."""
    fds: list[int] = []
    try:
        for path in paths:
            fds.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            fcntl.flock(fds[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        while fds:
            os.close(fds.pop())
    return fds
