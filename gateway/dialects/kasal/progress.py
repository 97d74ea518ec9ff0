"""Where tasks stand: in the last execution of their crew, as its trace says."""

import asyncio
from collections.abc import Iterable

from agentmesh_protos.registry.v1 import crew_pb2
from agentmesh_protos.runner.v1 import job_pb2, trace_pb2, trace_pb2_grpc

from gateway.core.peers import Peers
from gateway.dialects.kasal import asking
from meshkit.errors import from_rpc

_WORDS = {
    trace_pb2.SPAN_STATUS_RUNNING: "running",
    trace_pb2.SPAN_STATUS_OK: "completed",
    trace_pb2.SPAN_STATUS_ERROR: "failed",
    trace_pb2.SPAN_STATUS_LOST: "failed",
}
_AT_ONCE = 8


class Progress:
    """Asks the runner on behalf of the current caller."""

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs
        self._traces = peers.traces

    async def words(self, tasks: Iterable[crew_pb2.TaskDef]) -> dict[str, str]:
        """Return `running`, `completed` or `failed` by name, of those tasks that have begun."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def of_crew(crew: str) -> dict[str, str]:
            async with slots:
                return {span.task_def: _WORDS.get(span.status, "created") for span in await self._last(crew)}

        crews = dict.fromkeys(task.crew for task in tasks if task.crew)
        found = await asyncio.gather(*map(of_crew, crews))
        return {task: word for each in found for task, word in each.items()}

    async def _last(self, crew: str) -> list[trace_pb2.Span]:
        """Return the tasks of a crew's last execution."""
        with from_rpc():
            page = await self._jobs.ListJobs(job_pb2.ListJobsRequest(targets=[crew], page_size=1, text_bytes_max=1))
        if not page.jobs:
            return []
        return await tasks_of(self._traces, page.jobs[0].name)


async def tasks_of(traces: trace_pb2_grpc.TraceServiceStub, job: str) -> list[trace_pb2.Span]:
    """Return the spans of a job's tasks."""
    asked = trace_pb2.ListSpansRequest(parent=job, kinds=[trace_pb2.SPAN_KIND_TASK])
    return await asking.listed(traces.ListSpans, asked)
