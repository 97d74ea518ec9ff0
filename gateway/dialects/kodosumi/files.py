"""The kodosumi panel API, files: what executions were given and what they have made (`/files/…`).

Source: kodosumi 1.x, feature/candidate, read 2025-12.  It is a passage, since files are bytes.  What differs from the
original, where that is wrong: what does not exist is 404 and not 201 with an error or 500, and no name leads anywhere
but into the folder of its execution.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pydantic
from agentmesh_protos.runner.v1 import file_pb2
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from gateway.core.files import PART_BYTES_MAX, Files, new_batch
from gateway.core.peers import Peers
from gateway.http import bodies, multipart
from gateway.http.errors import HttpError
from gateway.http.passages import Passing
from meshkit.errors import Invalid, NotFound

PREFIX = "/files/"
_COUNT_MAX = 4096
_ROOTS = ("in", "out")


class Begin(pydantic.BaseModel):
    """The body of `init`."""

    filename: str
    total_chunks: int = pydantic.Field(ge=0, le=_COUNT_MAX)
    batch_id: str | None = None


class Complete(pydantic.BaseModel):
    """The body of `complete` for one upload."""

    upload_id: str
    fid: str | None = None


class FilesPassage:
    """Takes and gives files."""

    def __init__(self, peers: Peers) -> None:
        self._files = Files(peers)

    async def converse(self, passing: Passing, websocket: WebSocket) -> None:
        """Nothing is said over WebSockets here.  Raises `NotFound`."""
        raise NotFound("Not Found")

    async def answer(self, passing: Passing) -> Response:
        """Answer a request.  Raises `MeshError`."""
        words = [unquote(word) for word in passing.path.removeprefix(PREFIX).strip("/").split("/")]
        match (passing.method, words):
            case ("POST", ["init_batch"]):
                return JSONResponse({"batch_id": new_batch()}, status_code=201)
            case ("POST", ["init"]):
                return await self._begin(bodies.validate(_json(passing), Begin))
            case ("POST", ["chunk"]):
                return await self._chunk(passing)
            case ("POST", ["complete", root]):
                return await self._complete(bodies.validate(_json(passing), Complete), _root(root))
            case ("POST", ["complete", fid, batch, root]):
                return await self._complete_batch(fid, batch, _root(root), _json(passing))
            case ("DELETE", ["cancel", upload_id]):
                await self._files.cancel(_name(upload_id))
                return Response(status_code=204)
            case (("GET" | "HEAD"), [fid, root]):
                return JSONResponse([_shown(file) for file in await self._files.find(fid, _root(root))])
            case (("GET" | "HEAD"), [fid, root, *_]):
                _root(root)
                return await self._files.attachment(fid, "/".join(words[1:]), passing.headers)
            case ("DELETE", [fid, root, _, *_]):
                _root(root)
                await self._files.remove(fid, "/".join(words[1:]))
                return Response(status_code=204)
        raise NotFound("Not Found")

    async def _begin(self, asked: Begin) -> Response:
        upload = await self._files.begin(asked.batch_id or new_batch(), asked.filename, asked.total_chunks)
        batch = upload.name.split("/")[1]
        return JSONResponse({"upload_id": _id(upload), "batch_id": batch}, status_code=201)

    async def _chunk(self, passing: Passing) -> Response:
        fields, files = multipart.parts(passing.body, passing.headers.get("content-type", ""))
        if len(files) != 1 or not fields.get("chunk_number", "").isdecimal():
            wanted = "send upload_id, chunk_number and one chunk"
            raise Invalid("that is no chunk", {"chunk": [wanted]})
        if len(files[0].data) > PART_BYTES_MAX:
            raise HttpError(413, f"a chunk may have {PART_BYTES_MAX} bytes")
        number = int(fields["chunk_number"][:9])
        taken = await self._files.put(_name(fields.get("upload_id", "")), number, files[0].data)
        said = {"status": "chunk received", "chunk_number": number, "received_chunks": taken.received_count}
        return JSONResponse(said, status_code=201)

    async def _complete(self, asked: Complete, root: str) -> Response:
        name = _name(asked.upload_id)
        if asked.fid:
            file = await self._files.complete(name, asked.fid, root)
            return JSONResponse(_completed(name, file.name.partition("/files/")[2]), status_code=201)
        upload = await self._files.upload(name)
        if upload.received_count < upload.part_count:
            text = f"{upload.received_count} of {upload.part_count} chunks are here"
            raise Invalid(text, {"upload_id": [text]})
        return JSONResponse(_completed(name, f"{root}/{upload.path}"), status_code=201)

    async def _complete_batch(self, fid: str, batch: str, root: str, items: Any) -> Response:
        if not isinstance(items, Mapping) or not items:
            raise Invalid("body is no batch", {"body": ["send an object of uploads by their id"]})
        names = [_name(str(upload_id)) for upload_id in items]
        if any(name.split("/")[1] != batch for name in names):
            raise NotFound(f"There is no such upload in batch {batch}")
        done = []
        for name in names:
            file = await self._files.complete(name, fid, root)
            done.append(_completed(name, file.name.partition("/files/")[2]))
        return JSONResponse(done, status_code=201)


def _json(passing: Passing) -> Any:
    return bodies.json_of(passing.body)


def _root(root: str) -> str:
    if root not in _ROOTS:
        raise Invalid(f"invalid root {root[:40]!r}: use in or out")
    return root


def _id(upload: file_pb2.Upload) -> str:
    """Return how kodosumi's clients name an upload: one word, in which its batch is."""
    _, batch, _, upload_id = upload.name.split("/")
    return f"{batch}.{upload_id}"


def _name(upload_id: str) -> str:
    batch, _, own = upload_id.partition(".")
    if not own or "/" in upload_id:
        raise NotFound("There is no such upload")
    return f"batches/{batch}/uploads/{own}"


def _shown(file: file_pb2.File) -> dict[str, Any]:
    path = file.name.partition("/files/")[2]
    return {"path": path, "size": file.size, "last_modified": file.update_time.ToMicroseconds() / 1e6}


def _completed(name: str, path: str) -> dict[str, Any]:
    _, batch, _, upload_id = name.split("/")
    return {
        "status": "upload complete",
        "completion_id": upload_id,
        "batch_id": batch,
        "final_file": path.rpartition("/")[2],
        "final_path": path,
    }
