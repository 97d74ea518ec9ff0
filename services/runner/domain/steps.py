"""Steps: what a job has finished, so that another attempt does not do it again."""

import json
from collections.abc import Iterable

from services.runner.domain.pages import bytes_of_text
from services.runner.domain.records import Event, Step

BYTES_MAX = 6 * 1024 * 1024
"""Of all results that a host is told: what is behind is done again.  (A message has at most 16 MiB, of which inputs,
questions with answers may take 4 each, or a definition 3, messages and memories 1 each.)  A job of ours has no more."""


def event(step: Step, at: float) -> Event:
    """Return the line of the log that says that a step is finished."""
    place = f',"place":{step.place}' if step.place > 0 else ""
    place += f',"occurrence":{step.occurrence}' if step.occurrence > 0 else ""
    payload = f'{{"name":{json.dumps(step.name)},"result":{step.result_json}{place}}}'
    return Event(kind="step", payload=payload, time=at, sealed=step.sealed)


def finished(events: Iterable[Event]) -> list[Step]:
    """Return the steps that events of kind `step` tell of, in order."""
    steps = []
    left = BYTES_MAX
    for told in events:
        try:
            said = json.loads(told.payload)
            result_json = json.dumps(said["result"], ensure_ascii=False)
            step = Step(
                name=str(said["name"]),
                result_json=result_json,
                place=int(said.get("place", 0)),
                occurrence=int(said.get("occurrence", 0)),
                sealed=told.sealed,
            )
        except (ValueError, KeyError, TypeError):
            continue
        left -= bytes_of_text(step.name) + max(bytes_of_text(step.result_json), len(step.sealed))
        if left < 0:
            break
        steps.append(step)
    return steps
