"""`/mesh/v1/files/…`: files as bytes, for who has no gRPC.

| Request | Answer |
|---|---|
| `GET /mesh/v1/files/{job}/{in or out}/{path}` | the file, as an attachment; `Range` is understood |
| `POST /mesh/v1/files` (multipart) | `{"batch": "batches/…", "files": [path, …]}`, for the inputs of a launch |
| `POST /mesh/v1/files/{job}/{in or out}` (multipart) | `{"files": [File, …]}` |

A request has 4 MiB at most: larger files are sent in parts (`FileService`).
"""

from urllib.parse import unquote

from google.protobuf import json_format
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from gateway.core.files import Files, new_batch
from gateway.core.peers import Peers
from gateway.http import multipart
from gateway.http.passages import Passing
from meshkit.errors import Invalid, NotFound

PREFIX = "/mesh/v1/files/"


class FilesPassage:
    """Takes and gives files."""

    def __init__(self, peers: Peers) -> None:
        self._files = Files(peers)

    async def converse(self, passing: Passing, websocket: WebSocket) -> None:
        """Nothing is said over WebSockets here.  Raises `NotFound`."""
        raise NotFound("Not Found")

    async def answer(self, passing: Passing) -> Response:
        """Answer a request.  Raises `MeshError`."""
        words = [unquote(word) for word in f"{passing.path}/".removeprefix(PREFIX).strip("/").split("/")]
        match (passing.method, words):
            case ("POST", [""]):
                batch = new_batch()
                sent = [await self._files.send(batch, *each) for each in _sent(passing)]
                return JSONResponse({"batch": f"batches/{batch}", "files": [upload.path for upload in sent]})
            case ("POST", [job, root]):
                batch = new_batch()
                uploads = [await self._files.send(batch, *each) for each in _sent(passing)]
                files = [await self._files.complete(upload.name, job, root) for upload in uploads]
                return JSONResponse({"files": [json_format.MessageToDict(file) for file in files]})
            case (("GET" | "HEAD"), [job, _, _, *_]):
                return await self._files.attachment(job, "/".join(words[1:]), passing.headers)
        raise NotFound("Not Found")


def _sent(passing: Passing) -> list[tuple[str, bytes]]:
    """Return the files of a form, with their paths.  Raises `Invalid` if it is none, or has none."""
    kind = passing.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise Invalid("that is no form", {"content-type": ["send the files as multipart/form-data"]})
    _, files = multipart.parts(passing.body, kind)
    if not files:
        raise Invalid("there is no file", {"body": ["send at least one file"]})
    return [(file.name or file.field, file.data) for file in files]
