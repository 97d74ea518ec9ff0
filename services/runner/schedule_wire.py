"""Between schedules and their messages."""

import dataclasses
import json
from typing import Any

from agentmesh_protos.runner.v1 import schedule_pb2
from google.protobuf import struct_pb2

from meshkit.clock import seconds_of, stamp
from meshkit.errors import Invalid
from services.runner.domain.schedules import (
    MISSED_RUNS,
    Firing,
    FiringState,
    Missed,
    Overlap,
    Schedule,
    ScheduleState,
)
from services.runner.wire import inputs_json, labels_json

_STATES = {state: schedule_pb2.ScheduleState.Value(f"SCHEDULE_STATE_{state.name}") for state in ScheduleState}
_FIRING_STATES = {state: schedule_pb2.FiringState.Value(f"FIRING_STATE_{state.name}") for state in FiringState}
_MISSED = {each: schedule_pb2.MissedPolicy.Value(f"MISSED_POLICY_{each.name}") for each in Missed}
_OVERLAP = {each: schedule_pb2.OverlapPolicy.Value(f"OVERLAP_POLICY_{each.name}") for each in Overlap}
_FROM_MISSED: dict[int, Missed] = {number: each for each, number in _MISSED.items()} | {0: Missed.RUN_ONCE}
_FROM_OVERLAP: dict[int, Overlap] = {number: each for each, number in _OVERLAP.items()} | {0: Overlap.SKIP}
FIELDS = {
    "display_name": "display_name",
    "target": "target",
    "inputs": "inputs_json",
    "cron": "cron",
    "run_time": "run_at",
    "time_zone": "time_zone",
    "missed_policy": "missed",
    "missed_runs_max": "missed_runs_max",
    "overlap_policy": "overlap",
    "jitter_seconds": "jitter_s",
    "start_time": "starts_at",
    "end_time": "ends_at",
    "labels": "labels_json",
}
"""What can be written of a schedule: its field by that of the message."""


def new_schedule(schedule_id: str, owner: str, now: float) -> Schedule:
    """Return a schedule that nothing is said of yet."""
    return Schedule(
        schedule_id=schedule_id,
        owner=owner,
        display_name="",
        target="",
        inputs_json="{}",
        cron="",
        run_at=0.0,
        time_zone="",
        missed=Missed.RUN_ONCE,
        missed_runs_max=MISSED_RUNS,
        overlap=Overlap.SKIP,
        jitter_s=0,
        starts_at=0.0,
        ends_at=0.0,
        labels_json="",
        created_at=now,
        updated_at=now,
    )


def schedule_from_pb(message: schedule_pb2.Schedule, base: Schedule) -> Schedule:
    """Read what can be written of a schedule; the rest is as in `base`.  Raises `Invalid`, naming the field."""
    if message.missed_policy not in _FROM_MISSED or message.overlap_policy not in _FROM_OVERLAP:
        field = "overlap_policy" if message.missed_policy in _FROM_MISSED else "missed_policy"
        raise Invalid("there is no such policy", {field: ["must be one of the contract's"]})
    return dataclasses.replace(
        base,
        display_name=message.display_name,
        target=message.target,
        inputs_json=inputs_json(message.inputs),
        cron=" ".join(message.cron.split()),
        run_at=seconds_of(message.run_time),
        time_zone=message.time_zone,
        missed=_FROM_MISSED[message.missed_policy],
        missed_runs_max=message.missed_runs_max or MISSED_RUNS,
        overlap=_FROM_OVERLAP[message.overlap_policy],
        jitter_s=message.jitter_seconds,
        starts_at=seconds_of(message.start_time),
        ends_at=seconds_of(message.end_time),
        labels_json=labels_json(message.labels),
    )


def schedule_to_pb(schedule: Schedule, last: Firing | None = None) -> schedule_pb2.Schedule:
    """Render a schedule with its last firing."""
    return schedule_pb2.Schedule(
        name=schedule.name,
        display_name=schedule.display_name,
        target=schedule.target,
        inputs=_struct(json.loads(schedule.inputs_json)),
        cron=schedule.cron,
        run_time=stamp(schedule.run_at),
        time_zone=schedule.time_zone,
        missed_policy=_MISSED[schedule.missed],
        missed_runs_max=schedule.missed_runs_max,
        overlap_policy=_OVERLAP[schedule.overlap],
        jitter_seconds=schedule.jitter_s,
        start_time=stamp(schedule.starts_at),
        end_time=stamp(schedule.ends_at),
        labels=json.loads(schedule.labels_json or "{}"),
        state=_STATES[schedule.state],
        message=schedule.message,
        owner=schedule.owner,
        create_time=stamp(schedule.created_at),
        update_time=stamp(schedule.updated_at),
        next_fire_time=stamp(schedule.next_at),
        firing_count=schedule.firing_count,
        last_firing=firing_to_pb(last) if last is not None else None,
    )


def firing_to_pb(firing: Firing) -> schedule_pb2.Firing:
    """Render a firing."""
    return schedule_pb2.Firing(
        name=firing.name,
        state=_FIRING_STATES[firing.state],
        tick_time=stamp(firing.tick),
        manual=firing.manual,
        job=f"jobs/{firing.job_id}" if firing.job_id else "",
        message=firing.message,
        update_time=stamp(firing.at),
    )


def _struct(values: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(values)
    return struct
