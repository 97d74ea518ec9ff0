"""How an agentic service says that something went wrong: the text has statuses only, its clients look for `detail`."""

from collections.abc import Mapping
from typing import Any

from gateway.http.dialect import Rendered
from gateway.http.errors import envoy_detail, http_status
from gateway.http.exchange import Asked
from meshkit.errors import Exhausted, Invalid, MeshError


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as `{"detail"}`, with `field_errors` if fields are wrong."""
    body: dict[str, Any] = {"detail": str(error)}
    if isinstance(error, Invalid) and (fields := {field: texts for field, texts in error.fields.items() if texts}):
        body["field_errors"] = fields
    headers = (("retry-after", str(max(1, round(error.retry_after_s)))),) if isinstance(error, Exhausted) else ()
    return Rendered(status=http_status(error), body=body, headers=headers)


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    return {"detail": envoy_detail(status)}
