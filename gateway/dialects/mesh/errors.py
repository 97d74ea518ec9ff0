"""How the typed API says in JSON that something went wrong: AIP-193, as gRPC does in a status."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from gateway.http.dialect import Rendered
from gateway.http.errors import envoy_detail, http_status
from gateway.http.exchange import Asked
from meshkit.errors import MeshError

_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as `{"error": {"code", "status", "message", "details"}}`."""
    status = http_status(error)
    details = json_format.MessageToDict(error.to_status(), preserving_proto_field_name=True).get("details", [])
    body = {"code": status, "status": error.code.name, "message": str(error), "details": details}
    return Rendered(status=status, body={"error": body})


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    name = _NAMES.get(status, "UNKNOWN")
    return {"error": {"code": "%RESPONSE_CODE%", "status": name, "message": envoy_detail(status), "details": []}}
