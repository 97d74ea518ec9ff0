"""Show a flow's form, and start a job of it: what all dialects have in common.

An app answers `GET` with `{"elements": [..], ..}` (panel API, "Retrieve Inputs Scheme").  Jobs are started by the
runner, which checks the inputs by the flow's schema or has the app's form handler do it.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import app_pb2, job_pb2, payment_terms_pb2

from gateway.core.peers import Peers
from meshkit.errors import Internal, Invalid, MeshError, from_rpc

_DETAIL_CHARS_MAX = 2_000
_CHECK_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a flow is."""

    expose: str
    path: str
    """Within the app: `/async`."""

    @classmethod
    def of(cls, flow: registry_pb2.Flow) -> "Place":
        """Return where a flow of the registry is."""
        return cls(flow.expose.removeprefix("exposes/"), flow.path)

    @property
    def flow(self) -> str:
        """Its name: `flows/{expose}[/{path}]`."""
        return f"flows/{self.expose}/{self.path.strip('/')}".rstrip("/")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an app said."""

    status: int
    """HTTP status."""
    content_type: str
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object in the body; empty if there is none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def elements(self) -> list[dict[str, Any]] | None:
        """The form, or None if this is no form."""
        elements = self.json.get("elements")
        if not isinstance(elements, list):
            return None
        return [element for element in elements if isinstance(element, dict)]

    @property
    def detail(self) -> str:
        """Why it is no success, in the app's words."""
        detail = self.json.get("detail")
        text = detail if isinstance(detail, str) else self.body.decode(errors="replace")
        return text[:_DETAIL_CHARS_MAX]


class Refused(Invalid):
    """The form refuses the inputs: `fields` says why, by field in the form's order."""


class NotLaunched(Internal):
    """The form handler answered with something else than a job."""

    def __init__(self, status: int, detail: str) -> None:
        """`status` is the HTTP status that it answered."""
        super().__init__(detail)
        self.status = status


class Launcher:
    """Shows forms and starts jobs on behalf of the current caller."""

    def __init__(self, peers: Peers) -> None:
        self._apps = peers.apps
        self._jobs = peers.jobs

    async def form(self, at: Place, base_url: str, *, query: str = "", timeout_s: float = 30.0) -> Answer:
        """Ask for a flow's form.  Raises `Unavailable` while its app does not run, `DeadlineExceeded`."""
        request = app_pb2.CallAppRequest(
            name=f"apps/{at.expose}",
            method="GET",
            path=at.path,
            query=query,
            headers=[app_pb2.Header(name="accept", value="application/json, text/html;q=0.5")],
            base_url=base_url,
        )
        with from_rpc():
            response = await self._apps.CallApp(request, timeout=timeout_s)
        headers = {header.name.lower(): header.value for header in response.headers}
        return Answer(status=response.status, content_type=headers.get("content-type", ""), body=response.body)

    async def problem(self, at: Place, base_url: str) -> str:
        """Return why a flow takes no jobs now, in Sumi's words; empty if it answers."""
        try:
            form = await self.form(at, base_url, timeout_s=_CHECK_TIMEOUT_S)
        except MeshError as error:
            return f"Service endpoint is not responding: {type(error).__name__}"
        return f"Service returned status {form.status}" if form.status >= 400 else ""

    async def start(
        self,
        flow: str,
        base_url: str,
        inputs: Mapping[str, Any],
        *,
        extra: Mapping[str, Any] | None = None,
        payment: payment_terms_pb2.PaymentTerms | None = None,
        request_id: str = "",
        timeout_s: float = 60.0,
    ) -> job_pb2.Job:
        """Start a job of `flow`; it is on disk when this returns.

        `extra` is kept with the job.  What a flow costs, the runner knows; `payment` says how it is paid for.  Raises
        `Refused` and `NotLaunched`, `Unavailable` while the app does not run, `DeadlineExceeded`, and `Invalid` for a
        key that was another call's.
        """
        request = job_pb2.CreateJobRequest(
            target=flow,
            inputs_json=json.dumps(inputs, ensure_ascii=False, separators=(",", ":")),
            extra_json=json.dumps(extra) if extra else "",
            payment=payment,
            base_url=base_url,
            request_id=request_id,
        )
        try:
            with from_rpc():
                job: job_pb2.Job = await self._jobs.CreateJob(request, timeout=timeout_s)
        except MeshError as error:
            if isinstance(error, Invalid) and error.metadata.get("refused_by") == "form":
                raise Refused(str(error), error.fields) from error
            if (status := error.metadata.get("http_status", "")).isdecimal():
                raise NotLaunched(int(status), str(error)) from error
            raise
        return job
