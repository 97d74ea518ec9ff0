"""An app of a whole mesh that pries into it."""

import os
import pathlib
import signal

import pydantic

from agentmesh import ServeAPI
from tests.hostile.prying import tried

app = ServeAPI()


class Targets(pydantic.BaseModel):
    """What to pry into."""

    files: list[str] = []
    pids: list[int] = []


@app.flow("/")
def pry(inputs: Targets) -> dict[str, str]:
    """Try to read files and memory, and to end processes; return how each went."""
    found = {path: tried(pathlib.Path(path).read_bytes) for path in inputs.files}
    for pid in set(inputs.pids) - {os.getpid()}:  # it may have waited for its job when they were counted
        found[f"{pid} environment"] = tried(pathlib.Path(f"/proc/{pid}/environ").read_bytes)
        found[f"{pid} memory"] = tried(pathlib.Path(f"/proc/{pid}/mem").read_bytes)
        found[f"{pid} life"] = tried(lambda pid=pid: os.kill(pid, signal.SIGTERM))  # type: ignore[misc]
    return found
