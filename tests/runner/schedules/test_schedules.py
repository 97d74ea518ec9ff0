"""Schedules on a real runner: what they check, what they launch, and what stops them."""

import asyncio
import contextlib
import os
import pathlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.runner.v1 import job_pb2, schedule_pb2
from google.protobuf import field_mask_pb2, struct_pb2

from meshkit.clock import seconds_of
from services.runner.domain import schedules
from services.runner.domain.schedules import Fired, Firing, FiringState
from services.runner.stores.memory import MemoryStore
from tests.runner.clocks import Clock
from tests.runner.domain.test_schedules import HOUR, Hourly, schedule
from tests.runner.samples.secretive import digest
from tests.runner.stack import DEADLINE_S, Stack, stack

Metadata = Sequence[tuple[str, str]]
LAUNCHED = schedule_pb2.FIRING_STATE_LAUNCHED


class Scheduling:
    """A mesh with an app, and a clock that can be put forward."""

    def __init__(self, mesh: Stack, clock: Clock) -> None:
        self.mesh = mesh
        self.clock = clock

    async def call(self, name: str, request: Any, who: Metadata | None = None) -> Any:
        """Call a method of the service as somebody, else as the operator."""
        method = getattr(self.mesh.schedules, name)
        return await method(request, metadata=who or self.mesh.operator, timeout=DEADLINE_S)

    async def create(
        self, inputs: dict[str, Any] | None = None, who: Metadata | None = None, **fields: Any
    ) -> schedule_pb2.Schedule:
        """Add a schedule, that fires every hour unless it is said otherwise."""
        struct = struct_pb2.Struct()
        struct.update(inputs or {})
        fields = {"target": "flows/demo", "cron": "0 * * * *", "inputs": struct, **fields}
        request = schedule_pb2.CreateScheduleRequest(schedule=schedule_pb2.Schedule(**fields))
        made: schedule_pb2.Schedule = await self.call("CreateSchedule", request, who)
        return made

    async def trigger(self, made: schedule_pb2.Schedule, request_id: str = "") -> schedule_pb2.Firing:
        """Fire a schedule now."""
        request = schedule_pb2.TriggerScheduleRequest(name=made.name, request_id=request_id)
        fired: schedule_pb2.Firing = await self.call("TriggerSchedule", request)
        return fired

    async def tick(self, made: schedule_pb2.Schedule) -> schedule_pb2.Firing:
        """Let the time of a schedule's next tick come; return its firing once something has come of it."""
        now = await self.call("GetSchedule", schedule_pb2.GetScheduleRequest(name=made.name))
        self.clock.skip_to(seconds_of(now.next_fire_time))
        # Whoever changes a schedule has the runner look at the clock.
        renamed = schedule_pb2.Schedule(name=made.name, display_name="ticks")
        await self.call("UpdateSchedule", schedule_pb2.UpdateScheduleRequest(schedule=renamed))

        async def last() -> schedule_pb2.Firing | None:
            firings = await self.firings(made)
            return firings[0] if len(firings) > now.firing_count else None

        launching = (None, schedule_pb2.FIRING_STATE_LAUNCHING)
        found: schedule_pb2.Firing = await until(last, lambda one: getattr(one, "state", None) not in launching)
        return found

    async def firings(self, made: schedule_pb2.Schedule) -> list[schedule_pb2.Firing]:
        """Return a schedule's history, the last first."""
        request = schedule_pb2.ListFiringsRequest(parent=made.name)
        return list((await self.call("ListFirings", request)).firings)

    async def jobs(self) -> list[job_pb2.Job]:
        """Return every job."""
        request = job_pb2.ListJobsRequest(all_owners=True)
        found = await self.mesh.jobs.ListJobs(request, metadata=self.mesh.operator, timeout=DEADLINE_S)
        return list(found.jobs)

    async def state(self, made: schedule_pb2.Schedule) -> int:
        """Return where a schedule stands."""
        found = await self.call("GetSchedule", schedule_pb2.GetScheduleRequest(name=made.name))
        return int(found.state)


async def until(look: Callable[[], Awaitable[Any]], is_so: Callable[[Any], bool]) -> Any:
    """Look again and again until it is so."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = await look()
            if is_so(found):
                return found
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def scheduling(folder: pathlib.Path) -> AsyncIterator[Scheduling]:
    """Run a mesh with an app whose form handler starts whatever is sent, and one whose flow declares its inputs."""
    clock = Clock()
    async with stack(folder, now=clock) as mesh:
        await mesh.deploy()
        yield Scheduling(mesh, clock)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scheduling]:
    """Yield one mesh for the tests of this file."""
    async with scheduling(tmp_path_factory.mktemp("schedules")) as running:
        await running.mesh.deploy("declared", "tests.runner.samples.declared:app")
        await running.mesh.deploy("secretive", "tests.runner.samples.secretive:app")
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_tick_is_a_job_of_the_owner(shared: Scheduling) -> None:
    """With the schedule's inputs and labels, once; the history names it."""
    made = await shared.create({"events": 1}, labels={"team": "red"}, time_zone="Europe/Berlin")

    firing = await shared.tick(made)

    assert (LAUNCHED, False, f"{made.name}/firings/1") == (firing.state, firing.manual, firing.name)
    job = await shared.mesh.get(job_pb2.Job(name=firing.job))
    assert (made.owner, '{"events":1}', {"team": "red"}) == (job.owner, job.inputs_json, dict(job.labels))
    again = await shared.call("GetSchedule", schedule_pb2.GetScheduleRequest(name=made.name))
    assert (1, firing) == (again.firing_count, again.last_firing)
    assert HOUR == pytest.approx(seconds_of(again.next_fire_time) - seconds_of(firing.tick_time))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("inputs.name", {"target": "flows/declared"}),
        ("cron", {"cron": "every day"}),
        ("time_zone", {"time_zone": "Mars/Olympus"}),
        ("target", {"target": "jobs/1"}),
        ("run_time", {"cron": "", "run_time": "past"}),
    ],
)
async def test_what_cannot_be_fired_is_refused(shared: Scheduling, field: str, fields: dict[str, Any]) -> None:
    """The field is named, and there is no schedule."""
    if fields.get("run_time"):
        fields = {**fields, "run_time": {"seconds": 1_000_000}}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shared.create({}, **fields)

    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
    assert field.rpartition(".")[2] in str(caught.value.trailing_metadata())


async def test_a_flow_that_is_not_there_is_not_scheduled(shared: Scheduling) -> None:
    """It is not found, or does not run."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shared.create(target="flows/nothing")

    assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)


async def test_a_trigger_that_is_repeated_is_one(shared: Scheduling) -> None:
    """The same request gets the firing that there is."""
    made = await shared.create()

    first, again = await shared.trigger(made, "t1"), await shared.trigger(made, "t1")

    assert (first, LAUNCHED, True) == (again, first.state, first.manual)
    assert 1 == len(await shared.firings(made))
    assert first.job != (await shared.trigger(made, "t2")).job


async def test_a_tick_is_left_out_while_a_job_goes_on(shared: Scheduling) -> None:
    """The history says which job."""
    made = await shared.create({"end": "sleep"})
    running = await shared.trigger(made)

    firing = await shared.tick(made)

    assert (schedule_pb2.FIRING_STATE_SKIPPED, "") == (firing.state, firing.job)
    assert running.job in firing.message
    await shared.mesh.jobs.CancelJob(
        job_pb2.CancelJobRequest(name=running.job), metadata=shared.mesh.operator, timeout=DEADLINE_S
    )


async def test_a_tick_waits_for_the_job_before(shared: Scheduling, tmp_path: pathlib.Path) -> None:
    """It fires when that has ended; another one meanwhile is left out."""
    gate = shared.mesh.folder / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    policy = schedule_pb2.OVERLAP_POLICY_QUEUE_ONE
    made = await shared.create({"end": "gate", "path": str(gate)}, overlap_policy=policy)
    running = await shared.trigger(made)
    assert schedule_pb2.FIRING_STATE_QUEUED == (await shared.trigger(made)).state
    assert schedule_pb2.FIRING_STATE_SKIPPED == (await shared.trigger(made)).state

    await asyncio.to_thread(gate.write_text, "go")

    def launched(found: list[schedule_pb2.Firing]) -> bool:
        return found[1].state == LAUNCHED

    history = await until(lambda: shared.firings(made), launched)
    assert history[1].job not in ("", running.job)
    await asyncio.to_thread(gate.write_text, "go")


async def test_the_job_before_makes_room(shared: Scheduling) -> None:
    """It is cancelled, and gone when the next one is there."""
    policy = schedule_pb2.OVERLAP_POLICY_CANCEL_PREVIOUS
    made = await shared.create({"end": "sleep"}, overlap_policy=policy)
    first, second = await shared.trigger(made), await shared.trigger(made)

    assert LAUNCHED == second.state
    assert job_pb2.JOB_STATE_CANCELLED == (await shared.mesh.get(job_pb2.Job(name=first.job))).state
    await shared.mesh.jobs.CancelJob(
        job_pb2.CancelJobRequest(name=second.job), metadata=shared.mesh.operator, timeout=DEADLINE_S
    )


async def test_a_launch_that_fails_is_told_in_the_history(shared: Scheduling) -> None:
    """With its reason; the schedule goes on."""
    await shared.mesh.deploy("failing", "tests.runner.samples.secretive:app")
    made = await shared.create({"password": "a password"}, target="flows/failing/declared")
    await shared.mesh.deploy("failing", "tests.runner.samples.flows:app")  # there is no such flow in it

    firing = await shared.trigger(made)

    assert (schedule_pb2.FIRING_STATE_FAILED, "") == (firing.state, firing.job)
    assert firing.message.startswith("NOT_FOUND: ")
    assert schedule_pb2.SCHEDULE_STATE_ACTIVE == await shared.state(made)


async def test_a_password_is_sealed_and_reaches_the_job_only(shared: Scheduling) -> None:
    """What is shown has a mask, which may be sent back; no table has the password."""
    secret = "tops3cret-of-a-schedule"
    made = await shared.create({"user": "ada", "password": secret}, target="flows/secretive")
    assert "ada" == made.inputs["user"]
    assert secret not in str(made)
    sent = schedule_pb2.Schedule(name=made.name, inputs=made.inputs)
    again = await shared.call("UpdateSchedule", schedule_pb2.UpdateScheduleRequest(schedule=sent))
    assert made.inputs == again.inputs

    firing = await shared.trigger(made)

    job = job_pb2.Job(name=firing.job)
    await shared.mesh.events(job)
    assert digest(secret) in (await shared.mesh.get(job)).result_json
    kept = (shared.mesh.folder / "runner.db").read_bytes() + (shared.mesh.folder / "runner.db-wal").read_bytes()
    assert secret.encode() not in kept


async def test_a_password_is_handed_to_no_other_target(shared: Scheduling) -> None:
    """Of a flow that shows it, or keeps it: who sets another target sends what is secret anew, or without it."""
    secret = "tops3cret-of-a-target"
    made = await shared.create({"user": "ada", "password": secret}, target="flows/secretive")

    async def aim(target: str, mask: str, **inputs: Any) -> schedule_pb2.Schedule:
        sent = schedule_pb2.Schedule(name=made.name, target=target)
        sent.inputs.update(inputs)
        request = schedule_pb2.UpdateScheduleRequest(schedule=sent)
        request.update_mask.FromJsonString(mask)
        changed: schedule_pb2.Schedule = await shared.call("UpdateSchedule", request)
        return changed

    assert made.inputs == (await aim(made.target, "target")).inputs  # which it has
    again: dict[str, Any] = {"password": made.inputs["password"]}
    for target, mask, inputs in (
        ("flows/demo", "target", {}),
        ("flows/secretive/declared", "target", {}),
        ("flows/demo", "target,inputs", again),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await aim(target, mask, **inputs)
        assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()
        assert "inputs.password" in str(refused.value.trailing_metadata())
        assert secret not in str(refused.value)
    anew = await aim("flows/secretive/declared", "target,inputs", user="ada", password="another")
    bare = await aim("flows/demo", "target,inputs", note="none")

    assert "another" not in str(anew)
    assert {"note": "none"} == dict(bare.inputs)


async def test_an_owner_who_is_gone_stops_it(shared: Scheduling) -> None:
    """Nothing is launched in their name any more; the history and the schedule say why."""
    who = await shared.mesh.user("gone")
    made = await shared.create(who=who)
    gone = auth_pb2.User(name=made.owner, active=False)
    mask = field_mask_pb2.FieldMask(paths=["active"])
    request = auth_pb2.UpdateUserRequest(user=gone, update_mask=mask)
    await shared.mesh.users.UpdateUser(request, metadata=shared.mesh.operator, timeout=DEADLINE_S)

    firing = await shared.tick(made)

    assert (schedule_pb2.FIRING_STATE_FAILED, "") == (firing.state, firing.job)
    assert "owner" in firing.message
    assert schedule_pb2.SCHEDULE_STATE_STOPPED == await shared.state(made)


async def test_what_an_api_key_made_ends_with_it(shared: Scheduling) -> None:
    """A key may do nothing that outlives it; its owner may take the schedule over."""
    made_key = await shared.mesh.auth.CreateApiKey(
        auth_pb2.CreateApiKeyRequest(display_name="k"), metadata=shared.mesh.operator, timeout=DEADLINE_S
    )
    made = await shared.create(who=(("authorization", f"Bearer {made_key.token}"),))
    assert LAUNCHED == (await shared.trigger(made)).state
    request = auth_pb2.DeleteApiKeyRequest(name=made_key.api_key.name)
    await shared.mesh.auth.DeleteApiKey(request, metadata=shared.mesh.operator, timeout=DEADLINE_S)

    async def stopped() -> int:
        await shared.trigger(made)  # the runner hears of it in its own time
        return await shared.state(made)

    await until(stopped, lambda state: state == schedule_pb2.SCHEDULE_STATE_STOPPED)
    await shared.call("ResumeSchedule", schedule_pb2.ResumeScheduleRequest(name=made.name))

    assert schedule_pb2.SCHEDULE_STATE_ACTIVE == await shared.state(made)
    assert LAUNCHED == (await shared.tick(made)).state


async def test_a_halted_one_does_not_fire(shared: Scheduling) -> None:
    """Neither its time nor a change of its times makes it; a deleted one is gone."""
    made = await shared.create()
    halted = await shared.call("PauseSchedule", schedule_pb2.PauseScheduleRequest(name=made.name))
    changed = schedule_pb2.Schedule(name=made.name, cron="30 * * * *")
    after = await shared.call("UpdateSchedule", schedule_pb2.UpdateScheduleRequest(schedule=changed))

    assert not halted.HasField("next_fire_time")
    assert not after.HasField("next_fire_time")
    resumed = await shared.call("ResumeSchedule", schedule_pb2.ResumeScheduleRequest(name=made.name))
    assert 1800.0 == seconds_of(resumed.next_fire_time) % HOUR
    await shared.call("DeleteSchedule", schedule_pb2.DeleteScheduleRequest(name=made.name))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shared.state(made)
    assert grpc.StatusCode.NOT_FOUND is caught.value.code()


@pytest.mark.asyncio
async def test_a_crash_between_launch_and_history_makes_no_second_job(tmp_path: pathlib.Path) -> None:
    """What was launched and not written down is found by its request, and written down."""
    async with scheduling(tmp_path) as before:
        made = await before.create({"events": 1})
        firing = await before.tick(made)
        await before.mesh.events(job_pb2.Job(name=firing.job))
    with contextlib.closing(sqlite3.connect(tmp_path / "runner.db")) as connection, connection:
        connection.execute("UPDATE firings SET state = 'launching', job_id = ''")  # as the crash leaves it

    async with scheduling(tmp_path) as after:
        history = await until(lambda: after.firings(made), lambda found: found[0].state == LAUNCHED)

        assert [firing.job] == [each.job for each in history]
        assert [firing.job] == [job.name for job in await after.jobs()]


async def test_of_two_runners_one_fires_a_tick() -> None:
    """Both look, one after the other: the second finds the next tick, which is not due."""
    store = MemoryStore()
    await store.schedules.add(schedule(), None)

    def rule(before: schedules.Schedule, open_: Sequence[Firing]) -> Fired:
        return schedules.fire(before, open_, Hourly(), HOUR)

    fired = [await store.schedules.change("s", rule) for _ in range(2)]

    assert [1, 0] == [len(each.firings) for each in fired]
    assert [FiringState.LAUNCHING] == [each.state for each in await store.schedules.open_firings("s")]
