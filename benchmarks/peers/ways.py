"""The ways to run an echo: how a job is started over HTTP, where it is asked about, and when it has ended."""

import asyncio
import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

from benchmarks.apps import DECLARED, FORM, SHARED
from benchmarks.http import Failed, Http

TEXT = "hello"
_PAUSE_S = 0.002
"""Between two looks at a job that has not ended; the same for everybody."""
_END_WITHIN_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to run an echo on one server."""

    name: str
    request: Callable[[], tuple[str, Any]]
    """Returns path and body of the POST that starts a job."""
    status_path: Callable[[Any], str]
    """Returns where a job is asked about, from the answer of its start."""
    field: str
    """The member of a status that says where the job stands."""
    ended: str
    failed: frozenset[str]
    slow: bool = False
    """Whether a job takes so long that fewer are run."""

    async def start(self, http: Http) -> str:
        """Start a job; return the path of its status.  Raises `Failed`."""
        path, body = self.request()
        answer = await http.json("POST", path, body)
        try:
            return self.status_path(answer)
        except KeyError as error:
            raise Failed(f"{path} answered without {error}: {answer}") from None

    async def has_ended(self, http: Http, status_path: str) -> bool:
        """Return whether a job has ended well.  Raises `Failed` if it ended otherwise."""
        state = (await http.json("GET", status_path))[self.field]
        if state in self.failed:
            raise Failed(f"{status_path} ended as {state}")
        return bool(state == self.ended)

    async def wait(self, http: Http, status_path: str) -> None:
        """Ask for a job's status until it has ended.  Raises `Failed` or `TimeoutError`."""
        async with asyncio.timeout(_END_WITHIN_S):
            while True:
                if await self.has_ended(http, status_path):
                    return
                await asyncio.sleep(_PAUSE_S)


DBOS = Way(
    name="dbos",
    request=lambda: ("/start", {"text": TEXT}),
    status_path=lambda answer: f"/status/{answer['id']}",
    field="status",
    ended="SUCCESS",
    failed=frozenset({"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}),
)
DBOS_POSTGRES = dataclasses.replace(DBOS, name="dbos postgresql")
LANGGRAPH = Way(
    name="langgraph",
    request=lambda: (
        f"/threads/{uuid.uuid4()}/runs",
        {"assistant_id": "echo", "input": {"text": TEXT}, "if_not_exists": "create"},
    ),
    status_path=lambda answer: f"/threads/{answer['thread_id']}/runs/{answer['run_id']}",
    field="status",
    ended="success",
    failed=frozenset({"error", "timeout", "interrupted"}),
    slow=True,
)


def panel(expose: str) -> Way:
    """Return the way of the panel: a form handler is asked, the old status is read."""
    return Way(
        name=f"panel {expose}",
        request=lambda: (f"/-/localhost/8005/{expose}/-/", {"text": TEXT}),
        status_path=lambda answer: f"/outputs/status/{answer['result']}",
        field="status",
        ended="finished",
        failed=frozenset({"error"}),
    )


def sumi(expose: str) -> Way:
    """Return the way of MIP-003: `start_job`, then `status`."""
    return Way(
        name=f"sumi {expose}",
        request=lambda: (
            f"/sumi/{expose}/start_job",
            {"identifier_from_purchaser": "0123456789abcdef012345", "input_data": {"text": TEXT}},
        ),
        status_path=lambda answer: f"/sumi/status/{answer['job_id']}",
        field="status",
        ended="completed",
        failed=frozenset({"failed"}),
    )


def mesh(expose: str) -> Way:
    """Return the way of the typed API over JSON."""
    return Way(
        name=f"mesh {expose}",
        request=lambda: ("/mesh/v1/jobs", {"target": f"flows/{expose}", "inputs": {"text": TEXT}}),
        status_path=lambda answer: f"/mesh/v1/{answer['name']}",
        field="state",
        ended="JOB_STATE_SUCCEEDED",
        failed=frozenset({"JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}),
    )


OURS: tuple[tuple[str, Way], ...] = (
    (FORM, panel(FORM)),
    (FORM, sumi(FORM)),
    (DECLARED, sumi(DECLARED)),
    (DECLARED, mesh(DECLARED)),
    (SHARED, sumi(SHARED)),
    (SHARED, mesh(SHARED)),
)
"""Our ways, each with the expose that it needs."""
ON_POSTGRES: tuple[tuple[str, Way], ...] = tuple(
    (expose, dataclasses.replace(mesh(expose), name=f"{mesh(expose).name} postgresql")) for expose in (DECLARED, SHARED)
)
"""Those of ours on a mesh that keeps its jobs in PostgreSQL."""
