"""The agent and the crew that `up --examples` adds: there once, and runnable without a network."""

import json
import pathlib
from typing import Any

import httpx

from agentmesh.client import Client
from tests.mesh_wide import meshes


def started(url: str, client: Client, target: str, inputs: dict[str, Any]) -> str:
    """Start a job of an agent or crew; return its name."""
    asked = {"target": target, "inputs": inputs}
    token = client.login("admin", "admin").access_token
    answer = httpx.post(f"{url}/mesh/v1/jobs", json=asked, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    return str(answer.raise_for_status().json()["name"])


def test_they_are_added_once_and_run(tmp_path: pathlib.Path) -> None:
    """Whoever changes them finds them changed after the next start."""
    with meshes.running(tmp_path, examples=True) as mesh, Client(mesh.url) as client:
        client.login("admin", "admin")
        (atlas,) = [agent for agent in client.agents.list() if agent.slug == "atlas"]
        (crew,) = [crew for crew in client.crews.list() if crew.display_name == "Marketing"]
        review = started(mesh.url, client, "agents/atlas", {"prompt": "Audit the auth service for CSP violations."})
        campaign = started(mesh.url, client, crew.name, {"topic": "prime numbers"})
        client.agents.update(atlas.name, goal="Another one")
        ended = [client.wait(job, timeout_s=120) for job in (review, campaign)]
        spans = [json.loads(event.payload) for event in client.events(campaign) if event.kind == "span"]
        tools = {span.get("name") for span in spans if span.get("kind") == "tool_call"}

    with meshes.running(tmp_path, examples=True) as mesh, Client(mesh.url) as client:
        client.login("admin", "admin")
        again = [agent for agent in client.agents.list() if agent.slug == "atlas"]
        crews = [crew.name for crew in client.crews.list() if crew.display_name == "Marketing"]

    assert ("active", "hierarchical") == (atlas.state, crew.process)
    assert ["succeeded", "succeeded"] == [job.state for job in ended]
    assert {"web_search", "calculator"} <= tools
    assert [(atlas.name, "Another one")] == [(agent.name, agent.goal) for agent in again]
    assert [crew.name] == crews
