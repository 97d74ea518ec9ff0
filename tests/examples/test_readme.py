"""The README of the examples: what it shows runs, what it names exists."""

import json
import pathlib
import re
import sys

import httpx
import pytest

from agentmesh._app.loading import load
from agentmesh._job.execution import execute
from agentmesh.launch import LaunchSpec, launches
from agentmesh.tracer import TracerMock

README = (pathlib.Path(__file__).parents[2] / "examples" / "README.md").read_text()


@pytest.mark.parametrize("import_path", re.findall(r"`(examples\.[\w.]+:\w+)`", README))
def test_every_app_of_the_table_loads(import_path: str) -> None:
    """Each import path names an app with a flow."""
    assert load(import_path).flows


async def test_the_app_it_shows_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The greeter refuses an empty form and greets."""
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "greeter.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    noted: list[LaunchSpec] = []
    launches.set(noted)
    try:
        transport = httpx.ASGITransport(app=load("greeter:app").asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            refused = await client.post("/", json={"name": ""})
            assert "name" in refused.json()["errors"]
            assert (await client.post("/", json={"name": "Ada"})).json()["result"]
        result = await execute(noted[0].entry_point, json.loads(noted[0].inputs_json), TracerMock())
        assert json.loads(result) == {"Markdown": {"body": "Hello, **Ada**!"}}
    finally:
        sys.modules.pop("greeter", None)
