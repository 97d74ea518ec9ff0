"""Files on pages: sent with the form of a flow, listed and shown beside an execution."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from agentmesh_protos.runner.v1 import file_pb2, job_pb2
from starlette.responses import Response

from gateway.core import jobs
from gateway.core.files import Files
from gateway.core.peers import Peers
from gateway.http.passages import Streamed, until
from gateway.web.panel.visitor import Visitor
from meshkit.errors import NotFound

_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
"""What is shown as it is, by how it begins: pictures of dots only, which can hold no script."""
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")
_TEXTS = (".txt", ".md", ".csv", ".tsv", ".json", ".log", ".yaml", ".yml", ".xml", ".html", ".py")
_TEXT_BYTES_MAX = 4096
_PREVIEWS_MAX = 12
_UNITS = ("bytes", "KiB", "MiB", "GiB")


class PanelFiles:
    """The files of the caller's executions."""

    def __init__(self, peers: Peers) -> None:
        self._files = Files(peers)

    async def sent(self, visitor: Visitor, elements: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Send what came with a form, and return what it sent by field: its texts, and a batch for files.

        Raises `Invalid`, `Exhausted`.
        """
        return await self._files.send_form(elements, visitor.form, visitor.files)

    async def tab(self, job: job_pb2.Job) -> dict[str, Any]:
        """Return the values of the tab: what the job was given, and what it has made."""
        found = await self._files.find(jobs.id_of(job))
        texts = [path for path in map(_path, found) if path.lower().endswith(_TEXTS)][:_PREVIEWS_MAX]
        begins = await asyncio.gather(*(self._begin(jobs.id_of(job), path) for path in texts))
        shown = dict(zip(texts, begins, strict=True))
        rows = [_row(job, file, shown) for file in found]
        folders = [("out", "What it has made"), ("in", "What it was given")]
        return {"folders": [(title, [row for row in rows if row["root"] == root]) for root, title in folders]}

    async def give(self, visitor: Visitor, job: job_pb2.Job) -> Response:
        """Answer with a file: an attachment, or with `?show` a picture.  Raises `NotFound`."""
        shown_as = _IMAGES if "show" in visitor.request.query_params else None
        path = visitor.path("path")
        answer = await self._files.attachment(jobs.id_of(job), path, visitor.request.headers, shown_as)
        verifier = visitor.verifier
        if isinstance(answer, Streamed) and verifier is not None:
            answer.pieces = until(answer.pieces, lambda: verifier.until_barred(visitor.principal))
        return answer

    async def _begin(self, fid: str, path: str) -> str:
        try:
            return (await self._files.text(fid, path, _TEXT_BYTES_MAX)).decode(errors="replace")
        except NotFound:  # it was deleted meanwhile
            return ""


def _path(file: file_pb2.File) -> str:
    return file.name.partition("/files/")[2]


def _row(job: job_pb2.Job, file: file_pb2.File, texts: Mapping[str, str]) -> dict[str, Any]:
    path = _path(file)
    root, _, name = path.partition("/")
    return {
        "root": root,
        "name": name,
        "url": f"/panel/executions/{jobs.id_of(job)}/files/{quote(path)}",
        "size": size_of(file.size),
        "time": file.update_time,
        "picture": path.lower().endswith(_PICTURES),
        "text": texts.get(path, ""),
        "cut": file.size > _TEXT_BYTES_MAX,
    }


def size_of(bytes_count: int) -> str:
    """Return a size in words for people."""
    size, unit = float(bytes_count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
