"""Locks as the dialects see them: found by execution and lock, answered once, and said to be gone in clear words."""

from collections.abc import Mapping
from typing import Any

from mesh.runner.v1 import job_pb2, lock_pb2, lock_pb2_grpc

from gateway.core import jobs, values
from gateway.core.peers import Peers
from meshkit.errors import FailedPrecondition, Invalid, NotFound, from_rpc
from meshkit.idempotency import FIELD
from meshkit.principal import caller

PENDING = lock_pb2.LOCK_STATE_PENDING
ANSWERED = lock_pb2.LOCK_STATE_ANSWERED
GLOBAL = "_global_"
"""In the place of a field: what concerns none of a form."""
_ANSWER_TIMEOUT_S = 65.0  # the runner gives a lease handler 60
_PAGE_MAX = 1000
_GONE = {
    lock_pb2.LOCK_STATE_ANSWERED: "was answered already",
    lock_pb2.LOCK_STATE_EXPIRED: "has expired",
    lock_pb2.LOCK_STATE_CLOSED: "is closed: its execution has ended",
}


class Refused(Invalid):
    """The form or its lease handler refuses an answer: the lock waits on.

    `fields` has at least one message; `_global_` is always there and last.
    """


class Locks:
    """The locks of the current caller's jobs; operators see everybody's."""

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs
        self._locks: lock_pb2_grpc.LockServiceStub = peers.locks

    async def get(self, fid: str, lid: str) -> lock_pb2.Lock:
        """Return a lock, whatever its state.  Raises `NotFound` in kodosumi's words."""
        name = f"jobs/{fid}"
        if not jobs.is_id(fid):
            raise NotFound(f"Execution {fid[:100]} not found.", resource="jobs")
        try:
            if "/" not in lid:
                with from_rpc():
                    lock: lock_pb2.Lock = await self._locks.GetLock(lock_pb2.GetLockRequest(name=f"{name}/locks/{lid}"))
                    return lock
        except NotFound:
            pass
        try:
            with from_rpc():
                await self._jobs.GetJob(job_pb2.GetJobRequest(name=name))
        except NotFound:
            raise NotFound(f"Execution {fid} not found.", resource="jobs") from None
        raise NotFound(f"Lock {lid[:100]} for {fid} not found.", resource="locks")

    async def pending(self, job: job_pb2.Job) -> list[lock_pb2.Lock]:
        """Return the locks that a job waits on, by id."""
        if not job.locks:
            return []
        request = lock_pb2.ListLocksRequest(page_size=_PAGE_MAX, job=job.name, all_owners=caller().sees_all)
        with from_rpc():
            page = await self._locks.ListLocks(request)
        return sorted(page.locks, key=id_of)

    async def answer(self, lock: lock_pb2.Lock, inputs: Mapping[str, Any], request_id: str = "") -> lock_pb2.Lock:
        """Answer a lock; return it as it is then.

        Raises `Refused`; `FailedPrecondition` if it takes no answer any more (somebody was faster, or it is over);
        `Unavailable` while its app does not run; `Invalid` for a `request_id` (or, without one, a key) that was used
        for something else, and for values that are too deep or too large to be sent.
        """
        request = lock_pb2.AnswerLockRequest(
            name=lock.name, inputs=values.struct(inputs, "input_data"), request_id=request_id
        )
        try:
            with from_rpc():
                answered: lock_pb2.Lock = await self._locks.AnswerLock(request, timeout=_ANSWER_TIMEOUT_S)
                return answered
        except Invalid as error:
            if list(error.fields) == [FIELD] and "refused_by" not in error.metadata:
                raise
            raise Refused(str(error), complete(error)) from None
        except FailedPrecondition as error:
            with from_rpc():
                now = await self._locks.GetLock(lock_pb2.GetLockRequest(name=lock.name))
            raise FailedPrecondition(f"{gone(now)}: this answer was not taken", **error.metadata) from None


def id_of(lock: lock_pb2.Lock) -> str:
    """Return the id in `jobs/{job}/locks/{lock}`."""
    return lock.name.rpartition("/")[2]


def ids(job: job_pb2.Job) -> list[str]:
    """Return the ids of the locks that a job waits on."""
    return [name.rpartition("/")[2] for name in job.locks]


def gone(lock: lock_pb2.Lock) -> str:
    """Return why a lock takes no answer any more."""
    fid = lock.name.split("/")[1]
    # One that is still pending is past its time: the runner says so a moment later.
    return f"Lock {id_of(lock)} for {fid} {_GONE.get(lock.state, _GONE[lock_pb2.LOCK_STATE_EXPIRED])}"


def elements_of(lock: lock_pb2.Lock) -> list[dict[str, Any]]:
    """Return a lock's form."""
    return jobs.json_objects(lock.elements_json)


def complete(error: Invalid) -> dict[str, list[str]]:
    """Return what is wrong by field as clients show it: `_global_` is always there and last; something is said."""
    fields = {name: texts for name, texts in error.fields.items() if name != GLOBAL}
    overall = error.fields.get(GLOBAL, [])
    return {**fields, GLOBAL: overall or ([] if fields else [str(error)])}
