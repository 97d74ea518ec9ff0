"""The runner's service of traces.  Unpack, call, pack."""

from agentmesh_protos.runner.v1 import trace_pb2, trace_pb2_grpc

from meshkit import names, paging
from meshkit.interceptors import Context
from meshkit.principal import check_owner
from services.runner.domain import pages, traces
from services.runner.domain.traces import Span
from services.runner.ports.store import EVENTS_BYTES_MAX, JobStore
from services.runner.shapes import kind_of, span_to_pb

_COMPLETENESS = dict(trace_pb2.Completeness.items())


class TraceServicer(trace_pb2_grpc.TraceServiceServicer):
    """Traces; that of a job which is not the caller's is not found."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def ListSpans(self, request: trace_pb2.ListSpansRequest, context: Context) -> trace_pb2.ListSpansResponse:
        """Return a page of a job's spans, in the order in which they began.  Raises `NotFound`, `Invalid`."""
        job = await self._store.get(names.parse(request.parent, "jobs", "parent"))
        check_owner(job.owner, f"jobs/{job.job_id}")
        events = await self._store.events_of(job.job_id, traces.KINDS)
        spans = traces.spans_of(job, events)
        cut = sum(map(pages.bytes_of_event, events)) > EVENTS_BYTES_MAX
        kinds = set(request.kinds)

        async def fetch(after: str, limit: int) -> list[Span]:
            behind = max(paging.number(after), request.after_seq)
            found = [span for span in spans if span.seq > behind and (not kinds or kind_of(span) in kinds)]
            return found[:limit]

        filters = (request.parent, str(request.after_seq), *map(str, sorted(kinds)))
        page = await paging.page(request, fetch, lambda span: str(span.seq), *filters)
        return trace_pb2.ListSpansResponse(
            spans=map(span_to_pb, page.items),
            next_page_token=page.next_token,
            completeness=_COMPLETENESS[f"COMPLETENESS_{traces.completeness(job, spans, cut=cut).upper()}"],
        )
