"""Errors of what was not transcoded, in the shape of the dialect whose path was asked for."""

import dataclasses
from collections.abc import Mapping

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response

from gateway.http.dialect import Dialects
from gateway.http.errors import HttpError
from gateway.http.exchange import PATH_HEADER
from meshkit.errors import MeshError


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


def refuse(connection: HTTPConnection, error: MeshError, dialects: Dialects) -> Response:
    """Return the answer that says what went wrong with a request or a WebSocket."""
    target = connection.headers.get(PATH_HEADER) or connection.url.path
    asked = _Asked(connection.scope.get("method", "GET"), target, connection.headers)
    dialect = dialects.of_path(asked.path)
    rendered = dialect.render(error, asked)
    headers = error.headers if isinstance(error, HttpError) else {}
    return JSONResponse(
        dict(rendered.body),
        status_code=rendered.status,
        headers={**headers, **dict(rendered.headers)},
        media_type=dialect.error_type,
    )
