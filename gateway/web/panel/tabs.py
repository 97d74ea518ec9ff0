"""What each tab of an execution shows: views of its log."""

import asyncio
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2, trace_pb2

from gateway.core import jobs, render, states
from gateway.core.peers import Peers
from gateway.web.panel import falls, lines, shown
from gateway.web.panel.files import PanelFiles
from meshkit import clock
from meshkit.errors import from_rpc

TABS = {
    "result": "Result",
    "output": "Output",
    "events": "Events",
    "timeline": "Timeline",
    "files": "Files",
    "inputs": "Inputs",
}
KINDS: dict[str, tuple[str, frozenset[str]]] = {
    "": ("All", frozenset()),
    "status": ("Status", frozenset({"status", "progress", "error", "final"})),
    "output": ("Output", frozenset({"stdout", "stderr"})),
    "said": ("Said", frozenset({"action", "result", "debug", "final"})),
    "steps": ("Steps", frozenset({"step", "span", "lock", "lease", "payment"})),
}
_OUTPUT = frozenset({"stdout", "stderr"})
_ERRORS = frozenset({"error"})
_TRACEBACK_CHARS_MAX = 100_000
_SAID = frozenset({"result", "action"})
_RESULTS = frozenset({"result"})
_EVENTS = 200
_SAID_MAX = 50
_KEPT_MAX = 20
"""Of what was said before a result."""
_READ_EVENTS_MAX = 5000
"""Of a log that is searched for some kinds: what is before is said to be left out."""
_PAGE = 500
_SPANS_MAX = 300
_ASK_S = 10.0


class Tabs:
    """Reads logs on behalf of the caller."""

    def __init__(self, peers: Peers, files: PanelFiles) -> None:
        self._files = files
        self._jobs = peers.jobs
        self._traces = peers.traces
        self._renderer = peers.renderer

    async def content(self, job: job_pb2.Job, tab: str, *, kind: str, after: str) -> dict[str, Any]:
        """Return the values of a tab's template."""
        match tab:
            case "output":
                return await self._output(job)
            case "events":
                return await self._events(job, kind if kind in KINDS else "", after)
            case "timeline":
                (events, _), spans = await asyncio.gather(self._tail(job, falls.KINDS), self._spans(job))
                return {"timeline": falls.of(job, events, clock.now(), spans)}
            case "files":
                return await self._files.tab(job)
            case "inputs":
                shown_inputs = await self._renderer.one("inputs", job.inputs_json or "{}")
                return {"inputs": render.safe(shown_inputs), "meta": jobs.json_object(job.meta_json)}
        return await self._result(job)

    async def _result(self, job: job_pb2.Job) -> dict[str, Any]:
        """Return the result with the last of what was said on the way to it, which may be all that there is to see."""
        final = job.result_json if job.state == states.SUCCEEDED else ""
        result = shown.written(await self._renderer.one("result", final)) if final else ""
        events, cut = await self._tail(job, _RESULTS if final else _SAID)
        payloads = [event.payload for event in events if event.payload != final]
        most, way = (_KEPT_MAX, "result") if final else (_SAID_MAX, "typed")  # what changes yet folds nothing
        said = await self._renderer.all([(way, payload) for payload in payloads[-most:]])
        return {
            "result": result,
            "said": [shown.written(text) for text in said],
            "said_before": cut or len(payloads) > most,
        }

    async def _output(self, job: job_pb2.Job) -> dict[str, Any]:
        events, cut = await self._tail(job, _OUTPUT)
        lines = await self._renderer.all([("ansi", event.payload) for event in events])
        output = [(event.kind, render.safe(line)) for event, line in zip(events, lines, strict=True)]
        return {"output": output, "cut": cut}

    async def _events(self, job: job_pb2.Job, kind: str, after: str) -> dict[str, Any]:
        """Return a page of events: behind `after`, or the last."""
        wanted = KINDS[kind][1]
        if after.isdecimal() and len(after) < 16:
            events, cut = await self._read(job, wanted, int(after), most=_EVENTS)
        else:
            events, cut = await self._tail(job, wanted)
            cut = cut or len(events) > _EVENTS
            events = events[-_EVENTS:]
        first, last = (events[0].seq, events[-1].seq) if events else (0, 0)
        return {
            "events": [lines.of(event) for event in events],
            "kind": kind,
            "kinds": [(word, title) for word, (title, _) in KINDS.items()],
            "earlier": max(0, first - _EVENTS - 1) if first > 1 else None,
            "later": last if after and last < job.last_seq else None,
            "follows": not after,
            "cut": cut,
        }

    async def traceback(self, job: job_pb2.Job) -> str:
        """Return the traceback of a job that has failed, as far as the caller is told it; empty if there is none."""
        if job.state != states.FAILED:
            return ""
        begin = max(0, job.last_seq - _EVENTS)
        events, _ = await self._read(job, _ERRORS, begin, most=_EVENTS)
        return next((event.detail for event in reversed(events) if event.detail), "")[:_TRACEBACK_CHARS_MAX]

    async def _spans(self, job: job_pb2.Job) -> list[trace_pb2.Span]:
        """Return the spans of a job, the first ones of a long trace."""
        request = trace_pb2.ListSpansRequest(parent=job.name, page_size=_SPANS_MAX)
        with from_rpc():
            found = await self._traces.ListSpans(request, timeout=_ASK_S)
        return list(found.spans)

    async def _tail(self, job: job_pb2.Job, kinds: frozenset[str]) -> tuple[list[job_pb2.Event], bool]:
        """Return the events of some kinds (none: of all) near the end of a log, and whether there are more before."""
        span = _EVENTS if not kinds else _READ_EVENTS_MAX
        begin = max(0, job.last_seq - span)
        events, _ = await self._read(job, kinds, begin, most=_READ_EVENTS_MAX)
        return events, begin > 0

    async def _read(
        self, job: job_pb2.Job, kinds: frozenset[str], after_seq: int, *, most: int
    ) -> tuple[list[job_pb2.Event], bool]:
        found: list[job_pb2.Event] = []
        looked = 0
        while looked < _READ_EVENTS_MAX and len(found) < most:
            asked = job_pb2.ListEventsRequest(name=job.name, after_seq=after_seq, page_size=min(_PAGE, most))
            with from_rpc():
                page = await self._jobs.ListEvents(asked, timeout=_ASK_S)
            found += [event for event in page.events if not kinds or event.kind in kinds]
            looked += len(page.events)
            if not page.next_after_seq or not page.events:
                return found[:most], False
            after_seq = page.next_after_seq
        return found[:most], True
