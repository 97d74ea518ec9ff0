"""Steps: what a job has finished, so that another attempt does not do it again."""

import json
from collections.abc import Iterable

from services.runner.domain.records import Event

BYTES_MAX = 6 * 1024 * 1024
"""Of all results that a host is told: what is behind is done again.  (A message has at most 16 MiB, of which inputs may
take 4, a definition 3, messages and memories 1 each.)"""


def finished(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Return name and result (JSON) of the steps that events of kind `step` tell of, in order."""
    steps = []
    left = BYTES_MAX
    for event in events:
        try:
            said = json.loads(event.payload)
            step = (str(said["name"]), json.dumps(said["result"], ensure_ascii=False))
        except (ValueError, KeyError, TypeError):
            continue
        left -= len(step[0].encode("utf-8", "replace")) + len(step[1].encode("utf-8", "replace"))
        if left < 0:
            break
        steps.append(step)
    return steps
