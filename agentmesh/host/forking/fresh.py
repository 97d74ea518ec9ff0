"""Start the zygote of an app in this interpreter, which is that of the app's environment.

Arguments: the descriptors of the channel to the host and of what a fork would know, and the host's process.
"""

import os
import socket
import sys

from agentmesh.host.forking.beginning import go_on
from agentmesh.host.own.processes import die_with_parent

if __name__ == "__main__":
    control, handed, parent = map(int, sys.argv[1:])
    die_with_parent(parent)
    os.set_inheritable(control, False)
    with open(handed, "rb") as file:
        said = file.read()
    go_on(socket.socket(fileno=control), said)
