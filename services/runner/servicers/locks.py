"""The runner's lock service.  Unpack, call, pack."""

from collections.abc import AsyncIterator

from agentmesh_protos.runner.v1 import lock_pb2, lock_pb2_grpc

from meshkit import names, paging
from meshkit.errors import Denied, Invalid, NotFound
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from meshkit.tasks import Tasks
from services.runner.domain import Lock
from services.runner.jobs.locks import Locks
from services.runner.ports.store import JobStore, LockQuery
from services.runner.wire import inputs_json, lock_to_pb

_HEARTBEAT_S = 10.0


class LockServicer(lock_pb2_grpc.LockServiceServicer):
    """Locks; those of other people's jobs are not found."""

    def __init__(self, store: JobStore, locks: Locks, tasks: Tasks) -> None:
        self._store = store
        self._locks = locks
        self._tasks = tasks

    async def GetLock(self, request: lock_pb2.GetLockRequest, context: Context) -> lock_pb2.Lock:
        """Return a lock.  Raises `NotFound`."""
        return lock_to_pb(await self._own(request.name))

    async def ListLocks(self, request: lock_pb2.ListLocksRequest, context: Context) -> lock_pb2.ListLocksResponse:
        """Return a page of locks, newest first: of a job, or of whoever calls.

        Raises `Invalid`, `Denied`, and `NotFound` for a job that the caller does not see.
        """
        owner, job = await self._whose(request)
        filters = (owner, request.job, str(request.show_ended))
        before = paging.of_moment(paging.decode(request.page_token, *filters))
        size = paging.size(request.page_size)
        query = LockQuery(
            owner=owner,
            job_id=job,
            ended=request.show_ended,
            before=before,
        )
        locks = await self._store.find_locks(query, size + 1)
        shown = paging.full(locks[:size])
        response = lock_pb2.ListLocksResponse(locks=[lock_to_pb(lock) for lock in shown])
        if len(locks) > len(shown):
            last = shown[-1]
            response.next_page_token = paging.encode(paging.moment(last.created_at, last.lock_id), *filters)
        return response

    async def AnswerLock(self, request: lock_pb2.AnswerLockRequest, context: Context) -> lock_pb2.Lock:
        """Take an answer.  Raises `Invalid` with the fields, `FailedPrecondition`, `Unavailable`, `NotFound`."""
        lock = await self._own(request.name)
        # A caller that hangs up must not leave an answer between the app and the disk.
        answer = self._locks.answer(lock, inputs_json(request.inputs), caller().user, request.request_id)
        return lock_to_pb(await self._tasks.complete(answer, "answer-lock"))

    async def WatchLocks(
        self, request: lock_pb2.WatchLocksRequest, context: Context
    ) -> AsyncIterator[lock_pb2.WatchLocksResponse]:
        """Stream pending locks, then each as it stands after a change.  Raises `Denied`."""
        async for locks in self._locks.watch(_owner(request.all_owners), _HEARTBEAT_S):
            yield lock_pb2.WatchLocksResponse(locks=[lock_to_pb(lock) for lock in locks])

    async def _whose(self, request: lock_pb2.ListLocksRequest) -> tuple[str, str]:
        """Return whose locks are asked for, and of which job; empty for all."""
        if not request.job:
            return _owner(request.all_owners), ""
        job = await self._store.get(names.parse(request.job, "jobs", "job"))
        check_owner(job.owner, request.job)
        return job.owner, job.job_id

    async def _own(self, name: str) -> Lock:
        parts = name.split("/")
        if len(parts) != 4 or parts[0] != "jobs" or parts[2] != "locks":
            raise Invalid("name must look like jobs/{job}/locks/{lock}", {"name": [f"got {name[:80]!r}"]})
        lock = await self._store.get_lock(parts[3])
        if lock.job_id != parts[1]:
            raise NotFound("lock not found", resource=name)
        check_owner(lock.owner, name)
        return lock


def _owner(all_owners: bool) -> str:
    if all_owners and not caller().sees_all:
        raise Denied("only operators may see the locks of all owners")
    return "" if all_owners else caller().user
