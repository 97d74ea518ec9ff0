"""The launch of a flow that declares its inputs, at the address of its form (panel API document, "Launch").

The runner checks the inputs and starts the job; the app is not asked.  The answer is the one that a form handler's app
gives: the job and the form, or what is wrong by field and the form.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import app_pb2
from google.api import httpbody_pb2

from gateway.core import jobs
from gateway.core.launch import Launcher, Refused
from gateway.core.locks import complete
from gateway.core.peers import Peers
from gateway.http import bodies
from gateway.http.answers import json_answer
from meshkit.errors import Invalid

Element = Mapping[str, Any]


class DeclaredLaunches:
    """Starts jobs of flows whose inputs the mesh checks."""

    def __init__(self, peers: Peers) -> None:
        self._launcher = Launcher(peers)

    async def take(
        self, flow: registry_pb2.Flow, body: httpbody_pb2.HttpBody, base_url: str, request_id: str = ""
    ) -> app_pb2.CallAppResponse:
        """Answer a POST to a flow's form; a job is on disk then.

        Raises `NotFound` if the flow is switched off, `Unavailable` while its app does not run, and `Invalid` for the
        `request_id` of another launch.
        """
        elements = jobs.json_objects(flow.elements_json)
        try:
            inputs = _inputs(body, elements)
        except Invalid as error:
            return _answer({"detail": _told(error)}, 400)
        try:
            job = await self._launcher.start(flow.name, base_url, inputs, request_id=request_id)
        except Refused as error:
            return _answer({"errors": complete(error), "elements": elements})
        return _answer({"result": jobs.id_of(job), "elements": elements})


def _answer(value: Any, status: int = 200) -> app_pb2.CallAppResponse:
    answer = json_answer(value)
    kind = app_pb2.Header(name="content-type", value=answer.content_type)
    return app_pb2.CallAppResponse(status=status, headers=[kind], body=answer.data)


def _inputs(body: httpbody_pb2.HttpBody, elements: Sequence[Element]) -> dict[str, Any]:
    """Return what a body says by name: of a form, or else JSON whatever it calls itself, nothing being no values.

    Raises `Invalid`.
    """
    kind = body.content_type.partition(";")[0].strip().lower()
    if kind == bodies.FORM:
        boxes = (element.get("name") for element in elements if element.get("type") == "boolean")
        unticked = {name: False for name in boxes if isinstance(name, str)}
        return unticked | bodies.parse_fields(body)
    if kind.startswith("multipart/"):
        raise Invalid(
            "body cannot be read", {"content-type": [f"send a JSON object or {bodies.FORM}, not {kind[:80]}"]}
        )
    if not body.data.strip():
        return {}
    found = bodies.parse_json(httpbody_pb2.HttpBody(data=body.data))
    if not isinstance(found, dict):
        raise Invalid("body is no object", {"body": ["must be a JSON object of values by field name"]})
    return found


def _told(error: Invalid) -> str:
    return "; ".join([str(error), *(f"{name}: {text}" for name, texts in error.fields.items() for text in texts)])
