"""The runner's service of files.  Unpack, call, pack."""

from collections.abc import AsyncIterator

from agentmesh_protos.runner.v1 import file_pb2, file_pb2_grpc
from google.protobuf import empty_pb2

from meshkit import names
from meshkit.clock import stamp
from meshkit.errors import Invalid, NotFound, Unauthenticated
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from meshkit.tasks import Tasks
from services.runner.domain import Job, files
from services.runner.domain.files import Kept, Upload
from services.runner.files.files import Files
from services.runner.files.uploads import Uploads
from services.runner.ports.store import JobStore

_FILES = "files/"


class FileServicer(file_pb2_grpc.FileServiceServicer):
    """Files of jobs, and uploads; what is not the caller's is not found."""

    def __init__(self, store: JobStore, kept: Files, uploads: Uploads, tasks: Tasks) -> None:
        self._store = store
        self._files = kept
        self._uploads = uploads
        self._tasks = tasks

    async def CreateUpload(self, request: file_pb2.CreateUploadRequest, context: Context) -> file_pb2.Upload:
        """Begin an upload.  Raises `Invalid`, `Exhausted`."""
        batch = names.parse(request.parent, "batches", "parent")
        work = self._uploads.begin(_user(), "" if batch == "-" else batch, request.path, request.part_count)
        return _upload_to_pb(await self._tasks.complete(work, "create-upload"))

    async def GetUpload(self, request: file_pb2.GetUploadRequest, context: Context) -> file_pb2.Upload:
        """Return how far an upload is.  Raises `NotFound`, `Invalid`."""
        return _upload_to_pb(await self._uploads.get(_user(), *_upload(request.name)))

    async def ListUploads(self, request: file_pb2.ListUploadsRequest, context: Context) -> file_pb2.ListUploadsResponse:
        """List a batch.  Raises `Invalid`, and `NotFound` for one that has nothing in it."""
        found = await self._uploads.find(_user(), names.parse(request.parent, "batches", "parent"))
        if not found:
            raise NotFound(f"there is no {request.parent[:80]}", resource="batches")
        return file_pb2.ListUploadsResponse(uploads=map(_upload_to_pb, found))

    async def PutUploadPart(self, request: file_pb2.PutUploadPartRequest, context: Context) -> file_pb2.Upload:
        """Take a part.  Raises `NotFound`, `Invalid`, `Exhausted`."""
        work = self._uploads.put(_user(), *_upload(request.name), request.number, request.data)
        return _upload_to_pb(await self._tasks.complete(work, "put-part"))

    async def CompleteUpload(self, request: file_pb2.CompleteUploadRequest, context: Context) -> file_pb2.File:
        """Make a file of a job of an upload.  Raises `NotFound`, `Invalid`."""
        job = await self._own(request.job)
        work = self._complete(_user(), _upload(request.name), job, files.checked_root(request.root))
        return _file_to_pb(job, await self._tasks.complete(work, "complete-upload"))

    async def _complete(self, user: str, place: tuple[str, str], job: Job, root: str) -> Kept:
        async with self._uploads.claimed(user, [place]):
            upload = await self._uploads.get(user, *place)
            return await self._uploads.finish(self._store, user, upload, f"{root}/{upload.path}", job)

    async def DeleteUpload(self, request: file_pb2.DeleteUploadRequest, context: Context) -> empty_pb2.Empty:
        """Forget an upload.  Raises `NotFound`, `Invalid`."""
        await self._tasks.complete(self._uploads.cancel(_user(), *_upload(request.name)), "delete-upload")
        return empty_pb2.Empty()

    async def GetFile(self, request: file_pb2.GetFileRequest, context: Context) -> file_pb2.File:
        """Return what is known of a file.  Raises `NotFound`, `Invalid`."""
        job, path = await self._file(request.name)
        return _file_to_pb(job, await self._files.get(job.owner, job.job_id, path))

    async def ListFiles(self, request: file_pb2.ListFilesRequest, context: Context) -> file_pb2.ListFilesResponse:
        """List the files of a job.  Raises `NotFound`, `Invalid`."""
        job = await self._own(request.parent, "parent")
        found = await self._files.find(job.owner, job.job_id, request.root)
        return file_pb2.ListFilesResponse(files=[_file_to_pb(job, file) for file in found])

    async def DownloadFile(
        self, request: file_pb2.DownloadFileRequest, context: Context
    ) -> AsyncIterator[file_pb2.DownloadFileResponse]:
        """Stream a file.  Raises `NotFound`, `Invalid`."""
        if request.offset < 0 or request.length < 0:
            raise Invalid("offset and length must not be negative", {"offset": ["must be 0 or more"]})
        job, path = await self._file(request.name)
        kept = await self._files.get(job.owner, job.job_id, path)
        if request.offset > kept.size:
            raise Invalid("offset is behind the end", {"offset": [f"the file has {kept.size} bytes"]})
        yield file_pb2.DownloadFileResponse(file=_file_to_pb(job, kept))
        async for piece in self._files.read(job.owner, job.job_id, path, request.offset, request.length):
            yield file_pb2.DownloadFileResponse(data=piece)

    async def DeleteFile(self, request: file_pb2.DeleteFileRequest, context: Context) -> empty_pb2.Empty:
        """Delete a file, or a folder.  Raises `NotFound`, `Invalid`."""
        job, path = await self._file(request.name)
        await self._tasks.complete(self._files.remove(job.owner, job.job_id, path), "delete-file")
        return empty_pb2.Empty()

    async def _own(self, name: str, field: str = "name") -> Job:
        job = await self._store.get(names.parse(name, "jobs", field))
        check_owner(job.owner, f"jobs/{job.job_id}")
        return job

    async def _file(self, name: str) -> tuple[Job, str]:
        """Return the job of a file and its path, with its root."""
        job_id, _, path = names.parse(name, "jobs").partition("/")
        job = await self._own(f"jobs/{job_id}")
        if not path.startswith(_FILES):
            raise NotFound(f"there is no {name[:200]}", resource="files")
        return job, path.removeprefix(_FILES)


def _user() -> str:
    """Return whose uploads are meant.  Raises `Unauthenticated` for a call that is made for nobody."""
    if not (user := caller().user):
        raise Unauthenticated("uploads are for who is signed in")
    return user


def _upload(name: str) -> tuple[str, str]:
    """Return batch and id of an upload.  Raises `Invalid`."""
    batch, _, upload_id = names.parse(name, "batches").partition("/uploads/")
    return batch, upload_id


def _upload_to_pb(upload: Upload) -> file_pb2.Upload:
    return file_pb2.Upload(
        name=f"batches/{upload.batch}/uploads/{upload.upload_id}",
        path=upload.path,
        part_count=upload.part_count,
        received_count=len(upload.received),
        received_bytes=upload.size,
    )


def _file_to_pb(job: Job, file: Kept) -> file_pb2.File:
    return file_pb2.File(
        name=f"jobs/{job.job_id}/files/{file.path}", size=file.size, update_time=stamp(file.modified_at)
    )
