"""How the Masumi payment service says that something went wrong."""

import http
from collections.abc import Mapping
from typing import Any

from gateway.http.dialect import Rendered
from gateway.http.errors import envoy_detail, http_status
from gateway.http.exchange import Asked
from meshkit.errors import AlreadyExists, Invalid, MeshError

_REASONS = {status.value for status in http.HTTPStatus}


class ObjectExists(AlreadyExists):
    """409 with the record that there is."""

    def __init__(self, message: str, record_id: str, record: Mapping[str, Any]) -> None:
        super().__init__(message, http="409")
        self.extra = {"id": record_id, "object": record}


def body_of(message: str) -> dict[str, Any]:
    """Return the envelope of every error of the payment service."""
    return {"status": "error", "error": {"message": message}}


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as the payment service does; the ledger has noted the HTTP status that goes with its words."""
    noted = error.metadata.get("http", "")
    status = int(noted) if noted.isdigit() and 400 <= int(noted) <= 599 else http_status(error)
    message = str(error)
    if isinstance(error, Invalid) and error.fields:
        message = "; ".join(f"{field}: {text}" for field, texts in error.fields.items() for text in texts)
    if status >= 500:
        message = http.HTTPStatus(status).phrase if status in _REASONS else "Internal Server Error"
    body = body_of(message)
    return Rendered(status=status, body={**body, **error.extra} if isinstance(error, ObjectExists) else body)


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    return body_of(envoy_detail(status))
