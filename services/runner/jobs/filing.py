"""What jobs want of their own files: asked by their hosts, and only for jobs that they hold."""

import structlog
from agentmesh_protos.runner.v1 import host_pb2

from meshkit.errors import Exhausted, Invalid, MeshError, NotFound
from meshkit.tasks import Tasks
from services.runner import domain
from services.runner.domain import Job, Lease, files
from services.runner.domain.files import Kept
from services.runner.files.files import Files
from services.runner.files.uploads import Uploads
from services.runner.ports.store import JobStore

log = structlog.get_logger()
_TROUBLES: tuple[tuple[type[MeshError], "host_pb2.FileTrouble.ValueType"], ...] = (
    (NotFound, host_pb2.FILE_TROUBLE_NOT_FOUND),
    (Invalid, host_pb2.FILE_TROUBLE_INVALID),
    (Exhausted, host_pb2.FILE_TROUBLE_EXHAUSTED),
)


class Filing:
    """Answers hosts.  A call may come twice, after a reconnect: what it did the first time, it does not undo."""

    def __init__(self, store: JobStore, kept: Files, uploads: Uploads, tasks: Tasks) -> None:
        """`tasks` are for whoever has calls answered beside something else."""
        self.tasks = tasks
        self._store = store
        self._files = kept
        self._uploads = uploads

    async def answer(self, host_id: str, call: host_pb2.FileCall) -> host_pb2.FileResult:
        """Do what a job wants, and return what came of it, whatever that is."""
        result = host_pb2.FileResult(job=call.job, epoch=call.epoch, call_id=call.call_id)
        try:
            job = await self._store.get(call.job.removeprefix("jobs/"))
            domain.check_lease(job, Lease(host_id, call.epoch))
            await self._do(job, call, result)
        except domain.Stale:
            result.trouble, result.error = host_pb2.FILE_TROUBLE_UNAVAILABLE, "the job is in other hands"
        except MeshError as error:
            kinds = (trouble for kind, trouble in _TROUBLES if isinstance(error, kind))
            result.trouble, result.error = next(kinds, host_pb2.FILE_TROUBLE_UNAVAILABLE), str(error)
        except Exception:
            log.exception("files of a job", job=call.job)
            result.trouble, result.error = host_pb2.FILE_TROUBLE_UNAVAILABLE, "internal error"
        return result

    async def _do(self, job: Job, call: host_pb2.FileCall, result: host_pb2.FileResult) -> None:
        match call.WhichOneof("action"):
            case "list":
                result.files_json = files.listed(await self._files.find(job.owner, job.job_id, call.list.root))
            case "read":
                read = call.read
                length = min(max(1, read.length), files.PIECE_BYTES)
                pieces = self._files.read(job.owner, job.job_id, read.path, read.offset, length)
                result.data = b"".join([piece async for piece in pieces])
            case "write":
                await self._write(job, call.write)
            case "finish":
                result.files_json = files.listed([await self._finish(job, call.finish)])
            case "remove":
                await self._files.remove(job.owner, job.job_id, call.remove.path)
            case _:
                raise Invalid("nothing is wanted")

    async def _write(self, job: Job, write: host_pb2.FileWrite) -> None:
        """Take a part of a file; how many there will be is not known yet."""
        if write.number == 0:
            _, path = files.split(write.path)
            await self._uploads.begin(job.owner, job.job_id, path, files.PARTS_MAX, write.upload)
        await self._uploads.put(job.owner, job.job_id, write.upload, write.number, write.data)

    async def _finish(self, job: Job, finish: host_pb2.FileFinish) -> Kept:
        """Make a file of the parts.  Done a second time, it says what there is."""
        place = job.job_id, finish.upload
        async with self._uploads.claimed(job.owner, [place]):
            try:
                upload = await self._uploads.get(job.owner, *place)
            except NotFound:
                if finish.part_count:
                    return await self._files.get(job.owner, job.job_id, finish.path)
                upload = await self._uploads.begin(job.owner, job.job_id, files.split(finish.path)[1], 0, finish.upload)
            upload = upload.of(finish.part_count)
            return await self._uploads.finish(self._store, job.owner, upload, finish.path, job)
