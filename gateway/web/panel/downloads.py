"""What of an execution can be kept as a file."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2
from starlette.responses import Response, StreamingResponse

from gateway.core import jobs
from gateway.web.panel.visitor import Visitor
from meshkit.errors import NotFound, from_rpc
from meshkit.principal import Principal, acting

WHAT = {"result": "Result", "inputs": "Inputs", "events": "Events"}
_PAGE = 500
_ASK_S = 10.0


def answer(visitor: Visitor, stub: Any, job: job_pb2.Job, what: str) -> Response:
    """Answer with a file.  Raises `NotFound` for one that there is not."""
    fid = jobs.id_of(job)
    match what:
        case "result" if job.result_json:
            name, kind, text = _result(job.result_json)
            return Response(text, headers=_headers(f"{fid}-{name}", kind))
        case "inputs":
            return Response(job.inputs_json or "{}", headers=_headers(f"{fid}-inputs.json", "application/json"))
        case "events":
            lines = _lines(visitor.principal, stub, job.name)
            return StreamingResponse(lines, headers=_headers(f"{fid}-events.ndjson", "application/x-ndjson"))
    raise NotFound("There is no such file of this execution.")


def _result(result_json: str) -> tuple[str, str, str]:
    """Return the name, type and text of a result: Markdown, HTML and text as they are, all else as JSON."""
    value = jobs.json_value(result_json)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        body = content.get("body") if isinstance(content, dict) else None
        if kind in _FILES and isinstance(body, str):
            return (*_FILES[kind], body)
    return "result.json", "application/json", result_json


_FILES = {
    "Markdown": ("result.md", "text/markdown; charset=utf-8"),
    "HTML": ("result.html", "text/html; charset=utf-8"),
    "Text": ("result.txt", "text/plain; charset=utf-8"),
}


def _headers(name: str, kind: str) -> dict[str, str]:
    """Nothing that a flow wrote is opened as a page of ours."""
    return {
        "content-type": kind,
        "content-disposition": f'attachment; filename="{name}"',
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }


async def _lines(who: Principal, stub: Any, name: str) -> AsyncGenerator[bytes, None]:
    after_seq = 0
    while True:
        with acting(who), from_rpc():  # never across a yield: the next step may be another task's
            request = job_pb2.ListEventsRequest(name=name, after_seq=after_seq, page_size=_PAGE)
            page = await stub.ListEvents(request, timeout=_ASK_S)
        yield b"".join(_line(event) for event in page.events)
        if not page.next_after_seq or not page.events:
            return
        after_seq = page.next_after_seq


def _line(event: job_pb2.Event) -> bytes:
    said = {"seq": event.seq, "time": event.time, "kind": event.kind, "payload": event.payload}
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"
