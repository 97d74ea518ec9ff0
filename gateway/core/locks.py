"""Locks as the dialects see them: found by execution and lock, answered once, and said to be gone in clear words."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2, lock_pb2, lock_pb2_grpc

from gateway.core import jobs, values
from gateway.core.peers import Peers
from meshkit.errors import Exhausted, FailedPrecondition, Invalid, MeshError, NotFound, from_rpc
from meshkit.idempotency import FIELD

PENDING = lock_pb2.LOCK_STATE_PENDING
ANSWERED = lock_pb2.LOCK_STATE_ANSWERED
GLOBAL = "_global_"
"""In the place of a field: what concerns none of a form."""
_ANSWER_TIMEOUT_S = 65.0  # the runner gives a lease handler 60
_LOCKS_MAX = 1000
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
        # One by one: guests may read what they know the name of, and list nothing.
        with from_rpc():
            found = await asyncio.gather(
                *(self._locks.GetLock(lock_pb2.GetLockRequest(name=name)) for name in job.locks[:_LOCKS_MAX])
            )
        return sorted((lock for lock in found if lock.state == PENDING), key=id_of)

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

    async def answer_each(self, answers: Iterable[tuple[lock_pb2.Lock, Mapping[str, Any]]], key: str) -> None:
        """Answer several locks of one job, in this order; `key` is the client's `Idempotency-Key`, if any.

        Raises what `answer` does, with fields named `{lock}:{field}` and with what was taken before.  Without a key all
        must be pending, or none is answered.
        """
        answers = list(answers)
        if not key:  # with one, a lock that is answered may have been so by this very request
            for lock, _ in answers:
                if lock.state != PENDING:
                    raise FailedPrecondition(f"{gone(lock)}: no answer was taken")
        done: list[str] = []
        for lock, inputs in answers:
            lid = id_of(lock)
            try:
                await self.answer(lock, inputs, f"{key}:{lid}" if key else "")
            except MeshError as error:
                raise _told(error, lid, done) from None
            done.append(lid)


def _told(error: MeshError, lid: str, done: list[str]) -> MeshError:
    """Return the error with its fields named as they are sent, and with what was taken before it."""
    before = f"{', '.join(done)} {'was' if len(done) == 1 else 'were'} answered before" if done else ""
    if isinstance(error, Refused):
        fields = {f"{lid}:{name}": texts for name, texts in error.fields.items() if texts}
        return Invalid(str(error), {**fields, **({"input_data": [before]} if done else {})})
    if done and not isinstance(error, Invalid | Exhausted):
        return type(error)(f"{error}; {before}", **error.metadata)
    return error


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
