"""Files of jobs over HTTP: sent in parts, given out as attachments.

What somebody has uploaded, or a flow has written, is never opened as a page of ours: it is an attachment, of no type
that a browser would run, and sandboxed besides.
"""

import re
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from agentmesh_protos.runner.v1 import file_pb2
from starlette.responses import Response

from gateway.core.peers import Peers
from gateway.http.errors import HttpError
from gateway.http.exchange import HEAD_HEADER, LENGTH_HEADER
from gateway.http.multipart import Sent
from gateway.http.passages import Streamed
from meshkit.errors import from_rpc

PART_BYTES_MAX = 1024 * 1024
BINARY = "application/octet-stream"
BATCH = "batches/"
"""How the value of a field begins whose files are sent already."""
_ASK_S = 30.0
_PUT_S = 60.0
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_DIGITS_MAX = 18
_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")


class Files:
    """What the runner knows of files, on behalf of the current caller."""

    def __init__(self, peers: Peers) -> None:
        self._files = peers.files

    async def find(self, job_id: str, root: str = "") -> list[file_pb2.File]:
        """Return the files of a job, by name.  Raises `NotFound`, `Invalid`."""
        with from_rpc():
            request = file_pb2.ListFilesRequest(parent=f"jobs/{job_id}", root=root)
            return list((await self._files.ListFiles(request, timeout=_ASK_S)).files)

    async def remove(self, job_id: str, path: str) -> None:
        """Delete a file, or a folder.  Raises `NotFound`, `Invalid`."""
        with from_rpc():
            request = file_pb2.DeleteFileRequest(name=name_of(job_id, path))
            await self._files.DeleteFile(request, timeout=_ASK_S)

    # -- sent ----------------------------------------------------------------------------------------------------

    async def begin(self, batch: str, path: str, part_count: int) -> file_pb2.Upload:
        """Begin an upload.  Raises `Invalid`, `Exhausted`."""
        with from_rpc():
            request = file_pb2.CreateUploadRequest(parent=f"batches/{batch}", path=path, part_count=part_count)
            upload: file_pb2.Upload = await self._files.CreateUpload(request, timeout=_ASK_S)
        return upload

    async def put(self, upload: str, number: int, data: bytes) -> file_pb2.Upload:
        """Send a part.  Raises `NotFound`, `Invalid`, `Exhausted`."""
        with from_rpc():
            request = file_pb2.PutUploadPartRequest(name=upload, number=number, data=data)
            taken: file_pb2.Upload = await self._files.PutUploadPart(request, timeout=_PUT_S)
        return taken

    async def send(self, batch: str, path: str, data: bytes) -> file_pb2.Upload:
        """Send a whole file.  Raises `Invalid`, `Exhausted`."""
        parts = [data[start : start + PART_BYTES_MAX] for start in range(0, len(data), PART_BYTES_MAX)]
        upload = await self.begin(batch, path, len(parts))
        for number, part in enumerate(parts):
            upload = await self.put(upload.name, number, part)
        return upload

    async def send_form(
        self, elements: Sequence[Mapping[str, Any]], texts: Mapping[str, str], files: Sequence[Sent]
    ) -> dict[str, str]:
        """Send what came with a form, and return what it sent by field: its texts, and a batch for files.

        Raises `Invalid`, `Exhausted`.
        """
        values = dict(texts)
        for field in [str(element.get("name")) for element in elements if element.get("type") == "file"]:
            if given := [file for file in files if file.field == field and file.name]:
                batch = new_batch()
                for file in given:
                    await self.send(batch, file.name, file.data)
                values[field] = f"{BATCH}{batch}"
        return values

    async def upload(self, name: str) -> file_pb2.Upload:
        """Return how far an upload is.  Raises `NotFound`, `Invalid`."""
        with from_rpc():
            found: file_pb2.Upload = await self._files.GetUpload(file_pb2.GetUploadRequest(name=name), timeout=_ASK_S)
        return found

    async def complete(self, upload: str, job_id: str, root: str) -> file_pb2.File:
        """Make a file of a job of an upload.  Raises `NotFound`, `Invalid`."""
        with from_rpc():
            request = file_pb2.CompleteUploadRequest(name=upload, job=f"jobs/{job_id}", root=root)
            file: file_pb2.File = await self._files.CompleteUpload(request, timeout=_PUT_S)
        return file

    async def cancel(self, upload: str) -> None:
        """Forget an upload.  Raises `NotFound`, `Invalid`."""
        with from_rpc():
            await self._files.DeleteUpload(file_pb2.DeleteUploadRequest(name=upload), timeout=_ASK_S)

    # -- given out -----------------------------------------------------------------------------------------------

    async def attachment(
        self, job_id: str, path: str, headers: Mapping[str, str], shown_as: Mapping[bytes, str] | None = None
    ) -> Response:
        """Answer with a file, or with the part that a `Range` asks for; 304 to who has it (`If-None-Match`).

        Raises `NotFound`, `Invalid`, `HttpError` 416.

        With `shown_as` a file that begins like one of these is of the type beside it, and no attachment.
        """
        name = name_of(job_id, path)
        with from_rpc():
            file: file_pb2.File = await self._files.GetFile(file_pb2.GetFileRequest(name=name), timeout=_ASK_S)
        kept = {"etag": tag_of(file), "cache-control": "private, no-cache"}
        if is_among(kept["etag"], headers.get("if-none-match", "")):
            return Response(status_code=304, headers=kept)
        # A weak tag is no ground for a part of a file (RFC 9110, 13.1.5).
        span = span_of("" if "if-range" in headers else headers.get("range", ""), file.size)
        sent = {
            **kept,
            "content-type": BINARY,
            "content-disposition": disposition(path),
            "content-security-policy": "default-src 'none'; sandbox",
            "x-content-type-options": "nosniff",
            "accept-ranges": "bytes",
        }
        if shown_as is not None and (kind := await self._kind(name, shown_as)) is not None:
            sent |= {"content-type": kind, "content-disposition": "inline"}
        first, last = (0, file.size - 1) if span is None else span
        if span is not None:
            sent["content-range"] = f"bytes {first}-{last}/{file.size}"
        status = 200 if span is None else 206
        if HEAD_HEADER in headers:
            sent[LENGTH_HEADER] = str(last - first + 1)
            return Response(b"", status_code=status, headers=sent)
        if last < first:
            return Response(b"", status_code=status, headers=sent)
        sent["content-length"] = str(last - first + 1)
        request = file_pb2.DownloadFileRequest(name=name, offset=first, length=last - first + 1)
        return Streamed(status, [*sent.items()], self._pieces(self._files.DownloadFile(request)))

    async def text(self, job_id: str, path: str, bytes_max: int) -> bytes:
        """Return the begin of a file.  Raises `NotFound`, `Invalid`."""
        request = file_pb2.DownloadFileRequest(name=name_of(job_id, path), length=bytes_max)
        return b"".join([piece async for piece in self._pieces(self._files.DownloadFile(request, timeout=_ASK_S))])

    async def _kind(self, name: str, shown_as: Mapping[bytes, str]) -> str | None:
        request = file_pb2.DownloadFileRequest(name=name, length=max(map(len, shown_as)))
        stream = self._files.DownloadFile(request, timeout=_ASK_S)
        begin = b"".join([piece async for piece in self._pieces(stream)])
        return next((kind for mark, kind in shown_as.items() if begin.startswith(mark)), None)

    @staticmethod
    async def _pieces(stream: Any) -> AsyncGenerator[bytes, None]:
        """Yield what a download says.  Raises `MeshError` where it breaks off."""
        try:
            with from_rpc():
                async for message in stream:
                    if message.data:
                        yield message.data
        finally:
            stream.cancel()


def new_batch() -> str:
    """Return the id of a batch that nobody has."""
    return secrets.token_hex(16)


def name_of(job_id: str, path: str) -> str:
    """Return the name of a file by its path, with the root."""
    return f"jobs/{job_id}/files/{path}"


def disposition(path: str) -> str:
    """Return the header that has a browser keep a file under its own name (RFC 6266)."""
    name = path.rpartition("/")[2]
    return f"attachment; filename=\"{_PLAIN.sub('_', name)}\"; filename*=UTF-8''{quote(name, safe='')}"


def tag_of(file: file_pb2.File) -> str:
    """Return what tells a file from what was in its place before (RFC 9110, 8.8.3).

    It is weak: a clock may stand still between two files of one size, so no part of one may complete another.
    """
    return f'W/"{file.size:x}-{file.update_time.ToNanoseconds():x}"'


def is_among(tag: str, asked: str) -> bool:
    """Return whether a tag is one of those that an `If-None-Match` names."""
    named = [each.strip().removeprefix("W/") for each in asked.split(",")]
    return "*" in named or tag.removeprefix("W/") in named


def span_of(asked: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte that a `Range` asks for; `None` for the whole, as for ranges of other forms.

    Raises `HttpError` 416 for one that begins behind the end.
    """
    found = _RANGE.match(asked.strip())
    if found is None or not any(found.groups()) or any(len(digits) > _DIGITS_MAX for digits in found.groups()):
        return None
    first, last = found.groups()
    if not first:
        span = (max(0, size - int(last)), size - 1)
    else:
        span = (int(first), min(int(last) if last else size - 1, size - 1))
    if last and first and int(last) < int(first):
        return None
    if span[0] >= size:
        raise HttpError(416, f"the file has {size} bytes", {"content-range": f"bytes */{size}"})  # RFC 9110, 15.5.17
    return span
