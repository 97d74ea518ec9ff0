"""The runner's service of schedules.  Unpack, call, pack."""

from collections.abc import Callable

from agentmesh_protos.runner.v1 import schedule_pb2, schedule_pb2_grpc
from google.protobuf import empty_pb2

from meshkit import masks, names, paging, uuids
from meshkit.errors import Denied
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from meshkit.tasks import Tasks
from services.runner.domain.schedules import Firing, Schedule
from services.runner.ports.schedules import ScheduleStore
from services.runner.schedule_wire import FIELDS, firing_to_pb, new_schedule, schedule_from_pb, schedule_to_pb
from services.runner.schedules.firings import Firings
from services.runner.schedules.schedules import Schedules


class ScheduleServicer(schedule_pb2_grpc.ScheduleServiceServicer):
    """Schedules; what is not the caller's is not found."""

    def __init__(
        self, store: ScheduleStore, schedules: Schedules, firings: Firings, tasks: Tasks, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._schedules = schedules
        self._firings = firings
        self._tasks = tasks
        self._now = now

    async def CreateSchedule(
        self, request: schedule_pb2.CreateScheduleRequest, context: Context
    ) -> schedule_pb2.Schedule:
        """Add a schedule.  Raises `Invalid`, `Denied`, `NotFound`, `Exhausted`, `Unavailable`."""
        if not caller().user:
            raise Denied("schedules belong to users: call with a user's token")
        draft = schedule_from_pb(request.schedule, new_schedule(uuids.make(), caller().user, self._now()))
        return await self._shown(await self._schedules.create(draft, caller(), request.request_id))

    async def GetSchedule(self, request: schedule_pb2.GetScheduleRequest, context: Context) -> schedule_pb2.Schedule:
        """Return a schedule.  Raises `NotFound`, `Invalid`."""
        return await self._shown(await self._own(request.name))

    async def ListSchedules(
        self, request: schedule_pb2.ListSchedulesRequest, context: Context
    ) -> schedule_pb2.ListSchedulesResponse:
        """Return a page of schedules, newest first.  Raises `Denied`, `Invalid`."""
        if request.all_owners and not caller().sees_all:
            raise Denied("only operators may list the schedules of all owners")
        owner = None if request.all_owners else caller().user

        async def fetch(after: str, limit: int) -> list[Schedule]:
            return await self._store.find(owner, request.target, after, limit)

        page = await paging.page(request, fetch, lambda each: each.schedule_id, owner or "", request.target)
        shown = [await self._shown(each) for each in page.items]
        return schedule_pb2.ListSchedulesResponse(schedules=shown, next_page_token=page.next_token)

    async def UpdateSchedule(
        self, request: schedule_pb2.UpdateScheduleRequest, context: Context
    ) -> schedule_pb2.Schedule:
        """Change what the mask names.  Raises `NotFound`, `Invalid`, `Denied`, `Unavailable`."""
        known = await self._own(request.schedule.name)
        paths = masks.paths(request.schedule, request.update_mask, FIELDS)
        wanted = masks.merged(schedule_to_pb(known), request.schedule, paths)
        fields = {FIELDS[path.partition(".")[0]] for path in paths}
        draft = schedule_from_pb(wanted, known)
        return await self._shown(await self._schedules.update(known, draft, fields, caller()))

    async def DeleteSchedule(self, request: schedule_pb2.DeleteScheduleRequest, context: Context) -> empty_pb2.Empty:
        """Delete a schedule with its history.  Raises `NotFound`, `Invalid`."""
        await self._schedules.delete((await self._own(request.name)).schedule_id)
        return empty_pb2.Empty()

    async def PauseSchedule(
        self, request: schedule_pb2.PauseScheduleRequest, context: Context
    ) -> schedule_pb2.Schedule:
        """Halt a schedule.  Raises `NotFound`, `Invalid`, `FailedPrecondition`."""
        known = await self._own(request.name)
        return await self._shown(await self._schedules.pause(known.schedule_id))

    async def ResumeSchedule(
        self, request: schedule_pb2.ResumeScheduleRequest, context: Context
    ) -> schedule_pb2.Schedule:
        """Let a schedule fire again.  Raises `NotFound`, `Invalid`, `FailedPrecondition`."""
        known = await self._own(request.name)
        return await self._shown(await self._schedules.resume(known.schedule_id, caller()))

    async def TriggerSchedule(
        self, request: schedule_pb2.TriggerScheduleRequest, context: Context
    ) -> schedule_pb2.Firing:
        """Fire a schedule now.  Raises `NotFound`, `Invalid`."""
        known = await self._own(request.name)
        fired = self._firings.trigger(known, caller().user or known.owner, request.request_id)
        return firing_to_pb(await self._tasks.complete(fired, "trigger-schedule"))

    async def ListFirings(
        self, request: schedule_pb2.ListFiringsRequest, context: Context
    ) -> schedule_pb2.ListFiringsResponse:
        """Return a page of a schedule's history, the last first.  Raises `NotFound`, `Invalid`."""
        schedule_id = (await self._own(request.parent, "parent")).schedule_id

        async def fetch(after: str, limit: int) -> list[Firing]:
            return await self._store.firings(schedule_id, paging.number(after), limit)

        page = await paging.page(request, fetch, lambda each: str(each.number), schedule_id)
        return schedule_pb2.ListFiringsResponse(firings=map(firing_to_pb, page.items), next_page_token=page.next_token)

    async def _own(self, name: str, field: str = "name") -> Schedule:
        schedule = await self._store.get(names.parse(name, "schedules", field))
        check_owner(schedule.owner, schedule.name)
        return schedule

    async def _shown(self, schedule: Schedule) -> schedule_pb2.Schedule:
        last = await self._store.firings(schedule.schedule_id, 0, 1)
        return schedule_to_pb(schedule, last[0] if last else None)
