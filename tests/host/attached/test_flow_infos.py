"""What a host tells the runner of its app's flows."""

import json

from agentmesh_protos.runner.v1 import app_pb2

from agentmesh._app.loading import LoadedApp, flows_of
from agentmesh.host.app.handler import flow_infos
from tests.sdk import declared


def test_a_flow_says_who_checks_its_inputs() -> None:
    """A declared one is launched by its schema, without the app; the others by their handlers."""
    infos = {info.path: info for info in flow_infos(LoadedApp(declared.app, flows_of(declared.app)))}

    shown = infos["/"]
    assert (app_pb2.LAUNCHER_SCHEMA, app_pb2.ISOLATION_SHARED) == (shown.launcher, shown.isolation)
    assert "tests.sdk.declared:greet" == shown.entry_point
    assert {"name", "count", "loud", "tone", "day"} == json.loads(shown.input_schema_json)["properties"].keys()
    assert "markdown" == json.loads(shown.elements_json)[0]["type"]
    entered = infos["/enter"]
    assert (app_pb2.LAUNCHER_HANDLER, app_pb2.ISOLATION_PROCESS) == (entered.launcher, entered.isolation)
    assert ("", "") == (entered.input_schema_json, entered.entry_point)
    assert "text" == json.loads(entered.elements_json)[0]["type"]
