"""The panel's envelope of errors."""

from collections.abc import Mapping

import pytest

from gateway.dialects.kodosumi import errors
from gateway.http.errors import HttpError
from meshkit import errors as mesh
from meshkit.verifier import MISSING, REFUSED


class Asked:
    """A request, for the renderer."""

    method = "POST"
    target = "/expose/?a=1"
    path = "/expose/"
    query = "a=1"
    headers: Mapping[str, str] = {}


@pytest.mark.parametrize(
    ("error", "status", "name", "detail"),
    [
        (mesh.NotFound("Expose 'x' not found"), 404, "NotFoundException", "Expose 'x' not found"),
        (mesh.Invalid("no"), 400, "ValidationException", "no"),
        (
            mesh.Invalid("no", {"a": ["b", "c"]}),
            400,
            "ValidationException",
            "Validation failed for POST /expose/?a=1: [{'message': 'b', 'key': 'a'}, {'message': 'c', 'key': 'a'}]",
        ),
        (mesh.Denied("only operators may call this"), 401, "NotAuthorizedException", "User not authorized"),
        (mesh.Unauthenticated("sign in first: …", token=MISSING), 401, "NotAuthorizedException", "Unauthorized"),
        (mesh.Unauthenticated("token has expired: …", token=REFUSED), 401, "NotAuthorizedException", "Invalid token"),
        (mesh.Conflict("changed"), 409, "HTTPException", "409: changed"),
        (mesh.AlreadyExists("taken"), 409, "HTTPException", "409: taken"),
        (mesh.FailedPrecondition("busy"), 409, "HTTPException", "409: busy"),
        (mesh.Exhausted("slow", 2.4), 429, "TooManyRequestsException", "429: slow"),
        (mesh.Unavailable("away"), 503, "ServiceUnavailableException", "503: away"),
        (mesh.DeadlineExceeded("late"), 504, "HTTPException", "504: late"),
        (mesh.Internal("ours"), 500, "InternalServerException", "500: ours"),
        (HttpError(413, "much"), 413, "HTTPException", "413: much"),
    ],
)
def test_an_error_in_the_panels_shape(error: mesh.MeshError, status: int, name: str, detail: str) -> None:
    """Four keys; the code in front of the detail where the panel has it."""
    rendered = errors.render(error, Asked())

    assert rendered.status == status
    assert rendered.body == {"error": name, "path": "/expose/", "detail": detail, "status_code": status}
    assert rendered.headers == ((("retry-after", "2"),) if status == 429 else ())
