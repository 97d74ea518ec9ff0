"""Ask an app for a flow's form, and fill it in: what the form pages and Sumi have in common.

An app answers `GET` with `{"elements": [..], ..}` and `POST` with `{"result": fid, "elements"}` or
`{"errors": {field: [text, ..], "_global_": [..]}, "elements"}` (panel API, "Retrieve Inputs Scheme", "Launch").
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mesh.runner.v1 import app_pb2, app_pb2_grpc, payment_terms_pb2

from meshkit.errors import from_rpc

_DETAIL_CHARS_MAX = 2_000


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a flow is."""

    expose: str
    path: str
    """Within the app: `/async`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an app said."""

    status: int
    """HTTP status."""
    content_type: str
    body: bytes
    job: str = ""
    """The id of the job that was launched, or empty."""

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
    def errors(self) -> dict[str, list[str]]:
        """What the form refuses, by field in the app's order; `_global_` concerns no field."""
        errors = self.json.get("errors")
        if not isinstance(errors, dict):
            return {}
        return {
            str(field): [str(text) for text in texts] if isinstance(texts, list) else [str(texts)]
            for field, texts in errors.items()
        }

    @property
    def detail(self) -> str:
        """Why it is no success, in the app's words."""
        detail = self.json.get("detail")
        text = detail if isinstance(detail, str) else self.body.decode(errors="replace")
        return text[:_DETAIL_CHARS_MAX]


class AppCaller:
    """Calls apps on behalf of the current caller."""

    def __init__(self, apps: app_pb2_grpc.AppServiceStub) -> None:
        self._apps = apps

    async def form(self, at: Place, base_url: str, *, query: str = "", timeout_s: float = 30.0) -> Answer:
        """Ask for a flow's form.  Raises `Unavailable` while its app does not run, `DeadlineExceeded`."""
        request = _request(at, "GET", base_url)
        request.query = query
        return await self._call(request, timeout_s)

    async def submit(
        self,
        at: Place,
        base_url: str,
        inputs: Mapping[str, Any],
        *,
        extra: Mapping[str, Any] | None = None,
        payment: payment_terms_pb2.PaymentTerms | None = None,
        request_id: str = "",
        timeout_s: float = 60.0,
    ) -> Answer:
        """Fill in a flow's form.

        `extra` is kept with the job, which waits until it is paid for if there is a `payment`.  With a `request_id`
        the same inputs again give the first answer.  Raises `Unavailable` while the app does not run,
        `DeadlineExceeded`, and `Invalid` for a `request_id` of other inputs.
        """
        request = _request(at, "POST", base_url)
        request.headers.add(name="content-type", value="application/json")
        request.body = json.dumps(inputs).encode()
        request.request_id = request_id
        if extra:
            request.extra_json = json.dumps(extra)
        if payment is not None:
            request.payment.CopyFrom(payment)
        return await self._call(request, timeout_s)

    async def _call(self, request: app_pb2.CallAppRequest, timeout_s: float) -> Answer:
        with from_rpc():
            response = await self._apps.CallApp(request, timeout=timeout_s)
        headers = {header.name.lower(): header.value for header in response.headers}
        return Answer(
            status=response.status,
            content_type=headers.get("content-type", ""),
            body=response.body,
            job=response.jobs[0].removeprefix("jobs/") if response.jobs else "",
        )


def _request(at: Place, method: str, base_url: str) -> app_pb2.CallAppRequest:
    return app_pb2.CallAppRequest(
        name=f"apps/{at.expose}",
        method=method,
        path=at.path,
        headers=[app_pb2.Header(name="accept", value="application/json, text/html;q=0.5")],
        base_url=base_url,
    )
