"""Files on their way: sent in parts, each on disk when it is acknowledged, put together when all are here.

Nothing of that is kept in memory, so any replica takes any part.  Those for a launch to come are in a batch; the job
that it starts gets them before it is born, and they are forgotten when it is on disk.
"""

import contextlib
import dataclasses
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence

from meshkit.errors import Internal, Invalid, NotFound
from meshkit.tasks import OneAtATime
from services.runner.domain import Job, files
from services.runner.domain.files import Kept, Upload
from services.runner.files.files import Files
from services.runner.ports.store import JobStore

_ABOUT = "about"
_LISTED_S = 1.0
"""How long a list of parts is remembered: to look at all before each next one would be a walk through millions."""
_LISTS_MAX = 64


@dataclasses.dataclass(slots=True)
class _Listed:
    """The parts of an upload, as they were listed, with what has come here since."""

    begun: str
    """Which beginning of the upload."""
    at: float = float("-inf")
    received: dict[int, int] = dataclasses.field(default_factory=dict)
    came: dict[int, int] = dataclasses.field(default_factory=dict)
    """Since the listing began: it may have been there before."""

    def take(self, number: int, size: int) -> None:
        """Know of a part that has come."""
        self.received[number] = self.came[number] = size


class Uploads:
    """Takes parts, and makes files of them."""

    def __init__(self, kept: Files, ticks: Callable[[], float] = time.monotonic) -> None:
        self._files = kept
        self._store = kept.store
        self._alone = OneAtATime()
        self._ticks = ticks
        self._lists: dict[str, _Listed] = {}

    async def begin(self, owner: str, batch: str, path: str, part_count: int, upload_id: str = "") -> Upload:
        """Begin an upload; without a batch in a new one.  Raises `Invalid`, `Exhausted`.

        A batch has one of each path: to begin one again, as who has not heard the answer does, forgets what has come.
        """
        files.checked_path(path)
        if not 0 <= part_count <= files.PARTS_MAX:
            said = f"must be 0 to {files.PARTS_MAX}"
            raise Invalid(f"part_count {said}", {"part_count": [said]})
        upload = Upload(
            batch=batch or secrets.token_hex(16),
            upload_id=upload_id or hashlib.sha256(path.encode()).hexdigest()[:32],
            path=path,
            part_count=part_count,
        )
        key = files.upload_key(owner, upload.batch, upload.upload_id)
        if not upload_id and batch and len(await self._store.names(files.uploads_of(owner, batch))) >= files.FILES_MAX:
            raise Invalid(f"a batch may have {files.FILES_MAX} files", {"parent": ["is full"]})
        about = json.dumps({"path": path, "part_count": part_count, "begun": secrets.token_hex(8)}).encode()
        async with self._files.usage.taking(owner, files.FILE_BYTES_MIN):
            await self._store.remove_all(key)
            await self._store.write(f"{key}/{_ABOUT}", _once(about))
        return upload

    async def get(self, owner: str, batch: str, upload_id: str) -> Upload:
        """Return an upload.  Raises `NotFound`."""
        key = files.upload_key(owner, batch, upload_id)
        upload, _ = await self._begun(owner, batch, upload_id)
        return dataclasses.replace(upload, received=await self._received(key))

    async def _begun(self, owner: str, batch: str, upload_id: str) -> tuple[Upload, str]:
        """Return an upload without its parts, and what tells it from when it was begun before.  Raises `NotFound`."""
        key = files.upload_key(owner, batch, upload_id)
        about = json.loads(b"".join([piece async for piece in self._store.read(f"{key}/{_ABOUT}")]))
        begun = about.pop("begun", "")
        return Upload(batch=batch, upload_id=upload_id, **about), begun

    async def _received(self, key: str) -> dict[int, int]:
        parts = await self._store.find(key, files.PARTS_MAX + 1)
        return {int(part.path): part.size for part in parts if part.path.isdecimal()}

    async def _listed(self, key: str, begun: str) -> _Listed:
        """Return the parts of an upload; of those that came by other replicas, as of a moment ago."""
        async with self._alone(key):
            known = self._lists.get(key)
            if known is None or known.begun != begun:  # anew, here or elsewhere: what had come is forgotten
                if len(self._lists) >= _LISTS_MAX:
                    self._lists.clear()
                known = self._lists[key] = _Listed(begun)
            if known.at + _LISTED_S <= (at := self._ticks()):
                known.came = {}
                known.received = await self._received(key) | known.came
                known.at = at
        return known

    async def find(self, owner: str, batch: str) -> list[Upload]:
        """Return the uploads of a batch, by path; none if there is no such batch."""
        found = [
            await self.get(owner, batch, name)
            for name in await self._store.names(files.uploads_of(owner, batch))
            if files.is_id(name)
        ]
        return sorted(found, key=lambda upload: upload.path)

    async def put(self, owner: str, batch: str, upload_id: str, number: int, data: bytes) -> Upload:
        """Take a part.  Raises `NotFound` if there is no such upload, `Invalid`, and `Exhausted` if it is too much.

        What is returned may lack parts that have come by other replicas within the last second.
        """
        key = files.upload_key(owner, batch, upload_id)
        upload, begun = await self._begun(owner, batch, upload_id)
        if not 0 <= number < upload.part_count:
            said = f"must be 0 to {upload.part_count - 1}"
            raise Invalid(f"number {said}: the upload has {upload.part_count} parts", {"number": [said]})
        if len(data) > files.PART_BYTES_MAX:
            said = f"a part may have {files.PART_BYTES_MAX:,} bytes"
            raise Invalid(said, {"data": [said]})
        listed = await self._listed(key, begun)
        try:
            self._check_room(listed, number, data)
        except Invalid:  # unless less of a part has come anew elsewhere, a moment ago
            listed.at = float("-inf")
            self._check_room(await self._listed(key, begun), number, data)
        async with self._files.usage.taking(owner, max(files.FILE_BYTES_MIN, len(data))):
            await self._store.write(f"{key}/{number:06d}", _once(data))
        listed.take(number, len(data))
        return dataclasses.replace(upload, received={**listed.received})

    def _check_room(self, listed: _Listed, number: int, data: bytes) -> None:
        files.check_size(sum({**listed.received, number: len(data)}.values()), self._files.limits)

    @contextlib.asynccontextmanager
    async def claimed(self, owner: str, places: Sequence[tuple[str, str]]) -> AsyncIterator[None]:
        """Have uploads, named by batch and id, to oneself for the length of the block.

        A copy counts to no share before its upload is forgotten: whoever makes a file of one does it in here, so that
        there is one copy too many at most, however often it is asked for.
        """
        async with contextlib.AsyncExitStack() as stack:
            for place in sorted({*places}):  # in one order: two who want the same do not wait for each other
                await stack.enter_async_context(self._alone((owner, *place)))
            yield

    async def complete(
        self, owner: str, upload: Upload, path: str, job_owner: str, job_id: str, there: Sequence[Kept] | None = None
    ) -> Kept:
        """Make a file of a job of an upload whose parts are all here; `path` is with its root.

        `there` are the job's files, where they are known.  Raises `Invalid` if some parts are not here, or the file may
        not be there.
        """
        if upload.missing is not None:
            text = f"part {upload.missing} of {upload.part_count} of {upload.path} is not here"
            raise Invalid(text, {"name": [text]})
        return await self._files.write(job_owner, job_id, path, upload.size, self._joined(owner, upload), there)

    async def finish(self, jobs: JobStore, owner: str, upload: Upload, path: str, job: Job) -> Kept:
        """Make a file of a job that is there of an upload, which is `claimed`, and forget the upload.

        Raises as `complete`, `NotFound` if the job was deleted meanwhile: nobody would look for the file; and
        `Exhausted` if the job is of somebody else, who has no room for it.
        """
        async with self._moving(owner, upload, job.owner):
            kept = await self.complete(owner, upload, path, job.owner, job.job_id)
            try:
                await jobs.get(job.job_id)
            except NotFound:
                await self._files.forget(job.owner, job.job_id)
                raise
            await self.drop(owner, upload.batch, upload.upload_id)
        return kept

    @contextlib.asynccontextmanager
    async def _moving(self, owner: str, upload: Upload, to: str) -> AsyncIterator[None]:
        """Count an upload to whose file it becomes in the block.  Raises `Exhausted`.

        It was counted to whoever sent it, who may be an operator: then it is none of theirs any more.
        """
        if owner == to:
            yield
            return
        async with self._files.usage.taking(to, max(files.FILE_BYTES_MIN, upload.size)):
            yield
        self._files.usage.forget(owner)

    async def _joined(self, owner: str, upload: Upload) -> AsyncIterator[bytes]:
        key = files.upload_key(owner, upload.batch, upload.upload_id)
        for number in range(upload.part_count):
            async for piece in self._store.read(f"{key}/{number:06d}"):
                yield piece

    async def cancel(self, owner: str, batch: str, upload_id: str) -> None:
        """Forget an upload.  Raises `NotFound`."""
        await self.get(owner, batch, upload_id)
        await self.drop(owner, batch, upload_id)
        self._files.usage.forget(owner)

    async def drop(self, owner: str, batch: str, upload_id: str) -> None:
        """Forget an upload, if it is there.  What it was counted as is the file's now: nothing is to be measured."""
        key = files.upload_key(owner, batch, upload_id)
        await self._store.remove_all(key)
        self._lists.pop(key, None)

    # -- launches ------------------------------------------------------------------------------------------------

    async def deliver(self, owner: str, wanted: Sequence[tuple[str, str]], job_id: str) -> list[Kept]:
        """Make files of a job that is about to be born of uploads, named by batch and id; return them, by path.

        Raises `Invalid` if one is not there, or not whole: nothing is there then.  Raises `Internal` for a job that has
        files: its id came from an app, and is another's, whose files would be replaced or taken back with these.
        """
        if await self._files.find(owner, job_id):
            raise Internal(f"the app gave a new job an id that is taken: {job_id}")
        delivered: list[Kept] = []
        try:
            for each in wanted:
                delivered.append(await self._deliver(owner, *each, job_id, delivered))
        except BaseException:
            await self._files.forget(owner, job_id)
            raise
        return sorted(delivered, key=lambda file: file.path)

    async def _deliver(self, owner: str, batch: str, upload_id: str, job_id: str, there: Sequence[Kept]) -> Kept:
        try:
            upload = await self.get(owner, batch, upload_id)
        except NotFound:
            text = "there is no such upload (any more)"
            raise Invalid(text, {"files": [text]}) from None
        return await self.complete(owner, upload, f"in/{upload.path}", owner, job_id, there)

    async def recall(self, owner: str, job_id: str) -> None:
        """Take back what was delivered to a job that is not born after all; its uploads may be launched with again."""
        await self._files.forget(owner, job_id)

    async def settle(self, owner: str, wanted: Sequence[tuple[str, str]]) -> None:
        """Forget uploads whose job is on disk."""
        for batch, upload_id in wanted:
            await self.drop(owner, batch, upload_id)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
