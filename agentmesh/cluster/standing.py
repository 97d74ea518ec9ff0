"""What is on the cluster, and what waits for a place there and why: a file in the mesh's data folder.

`/health` and `agentmesh doctor` show it.  It is written when something changes, whole or not at all.
"""

import contextlib
import json
import os
import pathlib
import sys
from typing import Any

FILE = "cluster.json"


class Standing:
    """`{"address": …, "away": reason, "hosts": [id, …], "ready": number, "pending": {id: reason, …}}`."""

    def __init__(self, data_dir: pathlib.Path, address: str) -> None:
        self._path = data_dir / FILE
        self._said: dict[str, Any] = {}
        self._address = address
        self._away = "nobody has connected to it yet"
        self._hosts: set[str] = set()
        self._pending: dict[str, str] = {}
        self._ready = 0
        self._say()

    def is_away(self, reason: str) -> None:
        """The cluster does not answer; hosts that are there may work all the same."""
        self._away = reason
        self._say()

    def is_there(self) -> None:
        """The cluster answers."""
        self._away = ""
        self._say()

    def waits(self, host_id: str, reason: str) -> None:
        """A host has no place yet."""
        self._pending[host_id] = reason
        self._say()

    def lives(self, host_id: str) -> None:
        """A host has one."""
        self._pending.pop(host_id, None)
        self._hosts.add(host_id)
        self._say()

    def is_gone(self, host_id: str) -> None:
        """A host has ended, or will not come."""
        self._pending.pop(host_id, None)
        self._hosts.discard(host_id)
        self._say()

    def are_ready(self, count: int) -> None:
        """So many actors have no host yet."""
        self._ready = count
        self._say()

    def _say(self) -> None:
        said = {
            "address": self._address,
            "away": self._away,
            "hosts": sorted(self._hosts),
            "ready": self._ready,
            "pending": dict(sorted(self._pending.items())),
        }
        if said == self._said:
            return
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(said), encoding="utf-8")
            os.replace(new, self._path)
        except OSError as error:  # hosts run whether this is said or not
            print(f"cluster: {self._path} cannot be written: {error.strerror}", file=sys.stderr)
            return
        self._said = said


def read(data_dir: pathlib.Path) -> dict[str, Any] | None:
    """Return what a mesh with this data folder says; None if its hosts are on no cluster."""
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((data_dir / FILE).read_bytes()))
    return None
