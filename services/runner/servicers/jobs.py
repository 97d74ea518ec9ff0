"""The runner's service of jobs.  Unpack, call, pack."""

from collections.abc import AsyncIterator

from agentmesh_protos.runner.v1 import job_pb2, job_pb2_grpc
from google.protobuf import empty_pb2

from meshkit import names, paging
from meshkit.clock import seconds_of
from meshkit.errors import Denied, Invalid
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from meshkit.tasks import Tasks
from services.runner.births.launches import Launches
from services.runner.domain import Job, Reason, pages
from services.runner.jobs.jobs import Jobs
from services.runner.jobs.tails import Tails
from services.runner.ports.store import JobStore
from services.runner.wire import (
    completion_from_pb,
    counts_to_pb,
    events_to_pb,
    filter_from_pb,
    job_to_pb,
    launch_from_pb,
)

_HEARTBEAT_S = 10.0
_DELETED_MAX = 1000


class JobServicer(job_pb2_grpc.JobServiceServicer):
    """Jobs; what is not the caller's is not found."""

    def __init__(
        self, store: JobStore, jobs: Jobs, launches: Launches, tails: Tails, tasks: Tasks, *, allow_free: bool
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._launches = launches
        self._tails = tails
        self._tasks = tasks
        self._allow_free = allow_free

    async def CreateJob(self, request: job_pb2.CreateJobRequest, context: Context) -> job_pb2.Job:
        """Start a job.  A caller that hangs up must not leave a launch between the handler and the disk."""
        launch = launch_from_pb(request, caller(), allow_free=self._allow_free)
        return job_to_pb(await self._tasks.complete(self._launches.create(launch), "create-job"))

    async def GetJob(self, request: job_pb2.GetJobRequest, context: Context) -> job_pb2.Job:
        """Return a job.  Raises `NotFound`."""
        return job_to_pb(await self._own(request.name))

    async def ListJobs(self, request: job_pb2.ListJobsRequest, context: Context) -> job_pb2.ListJobsResponse:
        """Return a page of the caller's jobs, or of all owners' for operators, newest first.

        Raises `Denied`, and `Invalid` for a bad page.
        """
        if request.all_owners and not caller().sees_all:
            raise Denied("only operators may list the jobs of all owners")
        owner = None if request.all_owners else caller().user
        only = filter_from_pb(request)
        filters = (owner or "", request.query, *only.targets, "", *only.states, "", only.conversation)
        before = paging.decode(request.page_token, *filters) or request.before.removeprefix("jobs/")
        size = paging.size(request.page_size)
        text_bytes_max = max(0, request.text_bytes_max)
        jobs = await self._store.find(owner, request.query, before, size + 1, only, text_bytes_max=text_bytes_max)
        shown = paging.full(jobs[:size], pages.bytes_of_job)
        response = job_pb2.ListJobsResponse(jobs=[job_to_pb(job) for job in shown])
        if len(jobs) > len(shown):
            response.next_page_token = paging.encode(shown[-1].job_id, *filters)
        if request.HasField("deleted_since"):
            since = seconds_of(request.deleted_since)
            deleted = await self._store.deleted(caller().user, since, _DELETED_MAX)
            response.deleted.extend(f"jobs/{job_id}" for job_id in deleted)
        return response

    async def CountJobs(self, request: job_pb2.CountJobsRequest, context: Context) -> job_pb2.CountJobsResponse:
        """Count the caller's jobs of some targets, or all owners' for operators.  Raises `Denied`, `Invalid`."""
        if request.all_owners and not caller().sees_all:
            raise Denied("only operators may count the jobs of all owners")
        if len(request.targets) > paging.MAX:
            raise Invalid("there are too many targets", {"targets": [f"at most {paging.MAX}"]})
        counts = await self._store.count(None if request.all_owners else caller().user, request.targets)
        return counts_to_pb(request.targets, counts)

    async def CompleteJob(self, request: job_pb2.CompleteJobRequest, context: Context) -> job_pb2.Job:
        """End a job with what somebody outside made of it.  Raises `NotFound`, `Invalid`, `FailedPrecondition`."""
        job = await self._own(request.name)
        done = completion_from_pb(request)
        return job_to_pb(await self._jobs.complete(job.job_id, done, take_over=request.take_over))

    async def CancelJob(self, request: job_pb2.CancelJobRequest, context: Context) -> job_pb2.Job:
        """Stop a job; it is gone when this returns.  Raises `NotFound`, `Unavailable` if it does not end in time."""
        job = await self._own(request.name)
        # To its end though the caller hangs up: what is written must be told to the job's host, too.
        return job_to_pb(await self._tasks.complete(self._jobs.cancel(job.job_id, _stop_reason(job)), "cancel-job"))

    async def PauseJob(self, request: job_pb2.PauseJobRequest, context: Context) -> job_pb2.Job:
        """Halt a job.  Raises `NotFound`, `FailedPrecondition`, and `Unavailable` for one that does not begin."""
        job = await self._own(request.name)
        return job_to_pb(await self._tasks.complete(self._jobs.pause(job.job_id), "pause-job"))

    async def ResumeJob(self, request: job_pb2.ResumeJobRequest, context: Context) -> job_pb2.Job:
        """Let a paused job go on.  Raises `NotFound`, `FailedPrecondition`."""
        job = await self._own(request.name)
        return job_to_pb(await self._tasks.complete(self._jobs.resume(job.job_id), "resume-job"))

    async def DeleteJob(self, request: job_pb2.DeleteJobRequest, context: Context) -> empty_pb2.Empty:
        """Stop a job if it runs, and forget it.  Raises `NotFound`, `Unavailable`."""
        job = await self._own(request.name)
        await self._tasks.complete(self._jobs.delete(job.job_id, _stop_reason(job)), "delete-job")
        return empty_pb2.Empty()

    async def WatchJob(
        self, request: job_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """Stream a job's log behind `after_seq` to its end.  Raises `NotFound`, `Invalid`."""
        job = await self._own(request.name)
        if request.after_seq < 0:
            raise Invalid("after_seq is negative", {"after_seq": ["must be 0 or more"]})
        detail = caller().sees_all
        async for events in self._tails.watch(job, request.after_seq, _HEARTBEAT_S):
            yield job_pb2.WatchJobResponse(events=events_to_pb(events, detail=detail))

    async def ListEvents(self, request: job_pb2.ListEventsRequest, context: Context) -> job_pb2.ListEventsResponse:
        """Return a page of a job's log.  Raises `NotFound`, `Invalid`."""
        job = await self._own(request.name)
        size = paging.size(request.page_size)
        events = paging.full(
            await self._store.events(job.job_id, max(0, request.after_seq), size), pages.bytes_of_event
        )
        more = bool(events) and events[-1].seq < job.last_seq
        return job_pb2.ListEventsResponse(
            events=events_to_pb(events, detail=caller().sees_all), next_after_seq=events[-1].seq if more else 0
        )

    async def _own(self, name: str) -> Job:
        job = await self._store.get(names.parse(name, "jobs"))
        check_owner(job.owner, f"jobs/{job.job_id}")
        return job


def _stop_reason(job: Job) -> Reason:
    return Reason.USER_STOP if caller().user == job.owner else Reason.OPERATOR_CANCEL
