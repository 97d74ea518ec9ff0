"""The process that renders what may take long: `python -m gateway.core.render_worker`, of `gateway.core.renderer`.

On stdin come frames, a 4-byte big-endian length and a JSON array of [way, text]; on stdout goes one for each, an array
of HTML with null where there is none.  A frame that takes too much time or memory ends the process: the signals
that say so are left to do what they do by themselves, also in the midst of native code.
"""

import json
import os
import resource
import signal
import struct
import sys
from typing import BinaryIO

from gateway.core import render

CPU_S_MAX = 1.0
"""For one frame."""
OUT_BYTES_MAX = 4 * 1024 * 1024
"""Of one text that has been rendered."""
_MEMORY_BYTES_MAX = 512 * 1024 * 1024
LENGTH = struct.Struct(">I")


def main() -> None:
    """Render until there is nobody who asks."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: our parent decides
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    source, sink = os.fdopen(0, "rb"), os.fdopen(1, "wb")
    while head := source.read(LENGTH.size):
        asked = json.loads(_exactly(source, LENGTH.unpack(head)[0]))
        # Of our own time, not the clock's: a machine that is busy elsewhere makes no page pathological.
        signal.setitimer(signal.ITIMER_PROF, CPU_S_MAX)
        answer = json.dumps([_rendered(way, text) for way, text in asked]).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        sink.write(LENGTH.pack(len(answer)) + answer)
        sink.flush()


def _exactly(source: BinaryIO, count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:
        sys.exit()  # nobody waits for the answer
    return data


def _rendered(way: str, text: str) -> str | None:
    try:
        shown = render.WAYS[way](text)
    except Exception:  # of whatever a library raises for what nobody has foreseen; it is shown as text
        return None
    return shown if len(shown.encode("utf-8", "replace")) <= OUT_BYTES_MAX else None


if __name__ == "__main__":
    main()
