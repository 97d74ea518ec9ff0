"""Loopback ports that stay free until the child they are for has bound them.

A port below the kernel's ephemeral range is never taken by an outgoing connection.  Against other meshes on this
machine the number is held as a UDP socket: the child's TCP port of the same number is untouched by it, and the
kernel lets go of it when the supervisor ends, however it ends.
"""

import contextlib
import errno
import pathlib
import random
import socket
import sys

_RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_EPHEMERAL = 32_768


class PortsExhausted(Exception):
    """No free port was found."""


def reserve(count: int, host: str = "127.0.0.1") -> tuple[list[int], list[socket.socket]]:
    """Return `count` free ports of `host`, and the sockets that hold them: close those when the ports are given up.

    Raises `PortsExhausted` when a thousand tries were not enough.
    """
    top = _ephemeral_start()
    ports: list[int] = []
    holds: list[socket.socket] = []
    for _ in range(1000):
        if len(ports) == count:
            return ports, holds
        port = random.randrange(_LOWEST, top)
        hold = _hold(host, port)
        if hold is not None:
            ports.append(port)
            holds.append(hold)
    for hold in holds:
        hold.close()
    raise PortsExhausted(f"no {count} free ports between {_LOWEST} and {top} on {host}")


def claim(host: str, port: int) -> socket.socket | None:
    """Hold a port that somebody has chosen against other meshes; `None` if one of them holds it.

    Two meshes that start at once both find the port free, and the kernel would let both of their front doors listen.
    The name goes when the socket does, however the supervisor ends.
    """
    hold = socket.socket(socket.AF_UNIX)
    try:
        if sys.platform == "linux":  # elsewhere there are no names without a file
            hold.bind(f"\0agentmesh/{host}/{port}")
    except OSError:
        hold.close()
        return None
    return hold


def is_free(host: str, port: int) -> bool:
    """Return whether nobody listens on `host`:`port`.  Raises `OSError` if `host` is not an address of ours."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that lingers in TIME_WAIT is free
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _hold(host: str, port: int) -> socket.socket | None:
    hold = socket.socket(_family(host), socket.SOCK_DGRAM)
    try:
        hold.bind((host, port))
        if is_free(host, port):
            return hold
    except OSError:
        pass  # somebody has it: try another
    hold.close()
    return None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _ephemeral_start() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return max(int(_RANGE.read_text().split()[0]), _LOWEST + 5_000)
    return _EPHEMERAL
