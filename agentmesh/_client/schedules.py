"""`AsyncClient.schedules`: jobs that are started when it is time."""

import dataclasses
import datetime
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypedDict, Unpack

from agentmesh_protos.runner.v1 import schedule_pb2, schedule_pb2_grpc
from google.protobuf import field_mask_pb2, json_format

from agentmesh._client.collections import Collection
from agentmesh._client.connection import Connection
from agentmesh._client.definitions import full_name
from agentmesh._client.errors import InvalidInputs
from agentmesh._client.records import moment, word


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What became of a moment that a schedule names."""

    name: str
    """`schedules/{schedule}/firings/{number}`."""
    state: str
    """`launching`, `queued`, `launched`, `skipped` or `failed`."""
    tick_time: datetime.datetime | None
    manual: bool
    """Whether somebody triggered it."""
    job: str
    """`jobs/{id}` that it launched."""
    message: str
    """Why it was left out or failed."""
    update_time: datetime.datetime | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A target, its inputs, and when."""

    name: str
    """`schedules/{id}`."""
    display_name: str
    target: str
    inputs: Mapping[str, Any]
    """With masks for passwords."""
    cron: str
    run_time: datetime.datetime | None
    time_zone: str
    missed_policy: str
    """`skip`, `run_once` or `run_all`."""
    missed_runs_max: int
    overlap_policy: str
    """`skip`, `allow`, `queue_one` or `cancel_previous`."""
    jitter_seconds: int
    start_time: datetime.datetime | None
    end_time: datetime.datetime | None
    labels: Mapping[str, str]
    state: str
    """`active`, `paused`, `ended` or `stopped`."""
    message: str
    owner: str
    create_time: datetime.datetime | None
    update_time: datetime.datetime | None
    next_fire_time: datetime.datetime | None
    firing_count: int
    last_firing: Firing | None


class ScheduleFields(TypedDict, total=False):
    """What can be written of a schedule."""

    display_name: str
    target: str
    inputs: Mapping[str, Any]
    cron: str
    run_time: datetime.datetime
    time_zone: str
    missed_policy: str
    missed_runs_max: int
    overlap_policy: str
    jitter_seconds: int
    start_time: datetime.datetime
    end_time: datetime.datetime
    labels: Mapping[str, str]


class Schedules(Collection):
    """Schedules.  One may be named `schedules/{id}` or by its id."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = schedule_pb2_grpc.ScheduleServiceStub(self._channel)

    async def create(self, *, request_id: str = "", **fields: Unpack[ScheduleFields]) -> Schedule:
        """Add a schedule: `cron` in a `time_zone`, or one `run_time`.  Raises `InvalidInputs` with `fields`."""
        request = schedule_pb2.CreateScheduleRequest(request_id=request_id or str(uuid.uuid4()))
        _fill(request.schedule, fields)
        return _to_schedule(await self._connection.unary(self._stub.CreateSchedule, request))

    async def get(self, name: str) -> Schedule:
        """Return a schedule."""
        request = schedule_pb2.GetScheduleRequest(name=_named(name))
        return _to_schedule(await self._connection.unary(self._stub.GetSchedule, request))

    async def list(self, *, target: str = "", all_owners: bool = False) -> AsyncGenerator[Schedule, None]:
        """Yield schedules, newest first."""
        request = schedule_pb2.ListSchedulesRequest(target=target, all_owners=all_owners)
        async for message in self._items(self._stub.ListSchedules, request, "schedules"):
            yield _to_schedule(message)

    async def update(self, name: str, **fields: Unpack[ScheduleFields]) -> Schedule:
        """Change the fields that are given."""
        schedule = schedule_pb2.Schedule(name=_named(name))
        _fill(schedule, fields)
        mask = field_mask_pb2.FieldMask(paths=list(fields))
        request = schedule_pb2.UpdateScheduleRequest(schedule=schedule, update_mask=mask)
        return _to_schedule(await self._connection.unary(self._stub.UpdateSchedule, request))

    async def delete(self, name: str) -> None:
        """Delete a schedule with its history; its jobs stay."""
        request = schedule_pb2.DeleteScheduleRequest(name=_named(name))
        await self._connection.unary(self._stub.DeleteSchedule, request)

    async def pause(self, name: str) -> Schedule:
        """Let it not fire until it is resumed."""
        request = schedule_pb2.PauseScheduleRequest(name=_named(name))
        return _to_schedule(await self._connection.unary(self._stub.PauseSchedule, request))

    async def resume(self, name: str) -> Schedule:
        """Let it fire again."""
        request = schedule_pb2.ResumeScheduleRequest(name=_named(name))
        return _to_schedule(await self._connection.unary(self._stub.ResumeSchedule, request))

    async def trigger(self, name: str, *, request_id: str = "") -> Firing:
        """Fire it now; the same `request_id` again returns the same firing."""
        request = schedule_pb2.TriggerScheduleRequest(name=_named(name), request_id=request_id or str(uuid.uuid4()))
        return _to_firing(await self._connection.unary(self._stub.TriggerSchedule, request))

    async def firings(self, name: str) -> AsyncGenerator[Firing, None]:
        """Yield what became of its moments, the last first."""
        request = schedule_pb2.ListFiringsRequest(parent=_named(name))
        async for message in self._items(self._stub.ListFirings, request, "firings"):
            yield _to_firing(message)


def _named(name: str) -> str:
    return full_name(name, "schedules")


_POLICIES: Mapping[str, tuple[Any, str]] = {
    "missed_policy": (schedule_pb2.MissedPolicy, "MISSED_POLICY_"),
    "overlap_policy": (schedule_pb2.OverlapPolicy, "OVERLAP_POLICY_"),
}


def _fill(message: schedule_pb2.Schedule, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if name in _POLICIES:
            enum, prefix = _POLICIES[name]
            if f"{prefix}{value.upper()}" not in enum.keys():  # noqa: SIM118  # an enum of protobuf is no mapping
                words = ", ".join(key.removeprefix(prefix).lower() for key, number in enum.items() if number)
                wrong = f"must be one of {words}"
                raise InvalidInputs(f"{name}: {wrong}", code="INVALID_ARGUMENT", fields={name: [wrong]})
            setattr(message, name, enum.Value(f"{prefix}{value.upper()}"))
        elif name == "inputs":
            message.inputs.update(value)
        elif name == "labels":
            message.labels.update(value)
        elif isinstance(value, datetime.datetime):
            getattr(message, name).FromDatetime(value)
        else:
            setattr(message, name, value)


def _to_schedule(message: schedule_pb2.Schedule) -> Schedule:
    return Schedule(
        name=message.name,
        display_name=message.display_name,
        target=message.target,
        inputs=json_format.MessageToDict(message.inputs),
        cron=message.cron,
        run_time=moment(message, "run_time"),
        time_zone=message.time_zone,
        missed_policy=word(schedule_pb2.MissedPolicy, message.missed_policy, "MISSED_POLICY_"),
        missed_runs_max=message.missed_runs_max,
        overlap_policy=word(schedule_pb2.OverlapPolicy, message.overlap_policy, "OVERLAP_POLICY_"),
        jitter_seconds=message.jitter_seconds,
        start_time=moment(message, "start_time"),
        end_time=moment(message, "end_time"),
        labels=dict(message.labels),
        state=word(schedule_pb2.ScheduleState, message.state, "SCHEDULE_STATE_"),
        message=message.message,
        owner=message.owner,
        create_time=moment(message, "create_time"),
        update_time=moment(message, "update_time"),
        next_fire_time=moment(message, "next_fire_time"),
        firing_count=message.firing_count,
        last_firing=_to_firing(message.last_firing) if message.HasField("last_firing") else None,
    )


def _to_firing(message: schedule_pb2.Firing) -> Firing:
    return Firing(
        name=message.name,
        state=word(schedule_pb2.FiringState, message.state, "FIRING_STATE_"),
        tick_time=moment(message, "tick_time"),
        manual=message.manual,
        job=message.job,
        message=message.message,
        update_time=moment(message, "update_time"),
    )
