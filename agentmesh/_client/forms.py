"""The form of a flow, out of an app's HTTP answer."""

import json
from typing import Any

from agentmesh_protos.runner.v1 import app_pb2

from agentmesh._client.errors import MeshError


def elements(answer: app_pb2.CallAppResponse) -> list[dict[str, Any]]:
    """Return the elements that a flow's GET answered with.  Raises `MeshError` if it did not answer with a form."""
    if answer.status >= 400:
        raise MeshError(f"the app answered {answer.status} instead of its form", code="FAILED_PRECONDITION")
    try:
        found = json.loads(answer.body)["elements"]
    except (ValueError, KeyError, TypeError) as error:
        raise MeshError("the app did not answer with a form", code="FAILED_PRECONDITION") from error
    return [element for element in found if isinstance(element, dict)]
