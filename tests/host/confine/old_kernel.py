"""Be on a kernel without Landlock: its system calls are not there any more for this process and what it starts."""

import errno
import struct

from agentmesh.host.confine import landlock, seccomp

_CALLS = (444, 445, 446)


def pretend() -> None:
    """Have the three calls of Landlock fail as on a kernel that does not know them."""
    steps = [struct.pack("=HBBI", 0x20, 0, 0, 0)]
    for number in _CALLS:
        steps.append(struct.pack("=HBBI", 0x15, 0, 1, number))
        steps.append(struct.pack("=HBBI", 0x06, 0, 0, 0x0005_0000 | errno.ENOSYS))
    steps.append(struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF_0000))
    landlock.keep_privileges()
    seccomp.enter(b"".join(steps))
