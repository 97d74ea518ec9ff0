"""Settings that are secret: handed to the one process that needs them, and in nobody's environment.

`AGENTMESH_SECRETS_FD` is the number of a descriptor from which they are read once: a JSON object of names and values.
Whoever starts the process has made a pipe of it, as `agentmesh up` does; nobody else can read that, then or later.
"""

import json
import os

_FD = "AGENTMESH_SECRETS_FD"


def take() -> dict[str, str]:
    """Return what this process was handed, the first time; nothing if that was nothing."""
    if not (number := os.environ.pop(_FD, "")):
        return {}
    with open(int(number), "rb", closefd=number != "0") as reader:  # the descriptor 0 stays what it is: taken
        settings: dict[str, str] = json.load(reader)
    return settings
