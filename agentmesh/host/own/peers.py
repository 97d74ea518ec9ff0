"""Who is at the other end of a unix socket, as the kernel says it (SO_PEERCRED, unix(7)); Linux only."""

import os
import socket
import struct
from typing import NamedTuple

from agentmesh.host.own.descendants import parent_of

_UCRED = struct.Struct("3i")


class Peer(NamedTuple):
    """A process, as it was when it connected."""

    pid: int
    """0 if it is in no pid namespace of ours."""
    uid: int


def of(sock: socket.socket) -> Peer | None:
    """Return who has connected to us, or has listened where we have; None where the kernel does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _UCRED.size))
    return Peer(pid, uid)


def why_not(peer: Peer | None) -> str:
    """Say why `peer` may not give us orders; empty if it may.

    It must be our user's or root's, and be who has started us or what that has started, too: not what we have started,
    directly or not, nor anything else that runs as our user.
    """
    if peer is None:
        return ""
    if peer.uid not in (os.geteuid(), 0):
        return f"it is user {peer.uid}'s"
    starter = os.getppid()
    if peer.pid in (0, starter) or parent_of(peer.pid) == starter:
        return ""
    return "who has started us has not started it"
