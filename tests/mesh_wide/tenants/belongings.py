"""What one tenant has: one of everything, with a text in it that nobody else may ever read."""

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx

from agentmesh.testing import Mesh
from gateway.dialects.codex import ids
from tests.mesh_wide.panel import Panel

PASSWORD = "a tenant's password"
SECRET = f"secret-{uuid.uuid4().hex}"
"""In every credential that the tenant has stored: no answer to anybody may hold it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Belongings:
    """A tenant, and the names of what is theirs."""

    panel: Panel
    canary: str
    """In every text of theirs: an answer to somebody else that holds it has leaked."""
    names: dict[str, str]
    """By collection, such as `{"jobs": "jobs/0123…"}`."""

    def id(self, collection: str) -> str:
        """Return the last part of a name."""
        return self.names[collection].rpartition("/")[2]

    def path_value(self, dialect: str, variable: str) -> str | None:
        """Return what a variable of a path template is for the tenant's: `name=jobs/*` or a dialect's `crew_id`.

        `None` for what is nobody's, such as an expose.
        """
        _, _, pattern = variable.partition("=")
        if pattern:
            if pattern == "batches/*":
                return self.names["uploads"].partition("/uploads/")[0]
            inner = next((each for each in ("locks", "deliveries", "files", "uploads") if each in pattern), "")
            return self.names.get(inner or pattern.partition("/")[0])
        return self.ids(dialect).get(variable)

    def ids(self, dialect: str) -> dict[str, str]:
        """Return the tenant's by the names that fields have in a dialect, as the dialect writes them."""
        job, lock = self.id("jobs"), self.id("locks")
        agent, crew, task = (self.id(one) for one in ("agents", "crews", "taskDefs"))
        conversation = self.id("conversations")
        match dialect:
            case "kasal":
                short = {"agent": agent, "crew": crew, "task": task, "tool": self.id("tools")}
                found = {f"{noun}_id": f"{noun}_{value.replace('-', '')}" for noun, value in short.items()}
                return {**found, "job_id": f"job_{job}"}
            case "codex":
                found = {"agent_id": agent, "agentId": agent, "conversationId": conversation}
                return {**found, "executionId": ids.of_job(job), "id": agent}
            case "koda":
                return {"agent_id": agent, "task_id": job}
            case "mesh":
                fields = {"job": "jobs", "agent": "agents", "crew": "crews", "conversation": "conversations"}
                fields["user"] = "users"
                return {field: self.names[collection] for field, collection in fields.items()}
            case _:
                return {"fid": job, "job_id": job, "lid": lock, "role": self.id("users")}

    def snapshot(self) -> str:
        """Return everything that the tenant has, as they see it."""
        seen = {}
        for name in sorted(self.names.values()):
            path = f"/mesh/v1/{name}" if not name.startswith("users/") else "/mesh/v1/self"
            answer = self.panel.http.get(path)
            assert answer.status_code == 200, f"{name}: {answer.text}"
            seen[name] = answer.json()
        for path in (
            "agents/{agents}/memory",
            "conversations/{conversations}/messages",
            "jobs/{jobs}/events",
            "apiKeys",
        ):
            inner = path.format(**{collection: self.id(collection) for collection in self.names})
            seen[inner] = self.panel.http.get(f"/mesh/v1/{inner}").json()
        return json.dumps(seen, indent=1, sort_keys=True)


@contextlib.contextmanager
def furnished(mesh: Mesh, admin: Panel) -> Iterator[Belongings]:
    """Add a tenant with one of everything, a job that waits on a lock among it, signed in for the block."""
    login = f"tenant-{uuid.uuid4().hex[:8]}"
    role = {"name": login, "email": f"{login}@example.com", "password": PASSWORD}
    assert admin.http.post("/role/", json=role).status_code == 201
    admin.deploy({"errand": "tests.apps.errand:app"})
    with contextlib.closing(Panel(mesh.url, login, PASSWORD)) as panel:
        canary = f"canary_{uuid.uuid4().hex}"
        yield Belongings(panel, canary, _names(panel, canary))


def _names(panel: Panel, canary: str) -> dict[str, str]:
    http = panel.http

    def add(collection: str, sent: dict[str, Any], field: str = "name") -> str:
        answer = http.post(f"/mesh/v1/{collection}", json=sent)
        assert answer.status_code == 200, answer.text
        return str(answer.json()[field])

    model = {"provider": "openai", "model": "gpt-5-mini", "endpoint": "https://models.example.com/v1"}
    agent = add("agents", {"displayName": canary, "model": model, "apiKey": SECRET, "memory": {"enabled": True}})
    crew = add("crews", {"crew": {"displayName": canary, "agents": [agent]}})
    tool = {"displayName": canary, "kind": "TOOL_KIND_HTTP", "endpoint": "https://tool.example.com/"}
    names = {
        "users": f"users/{panel.user}",
        "agents": agent,
        "crews": crew,
        "taskDefs": add("taskDefs", {"crew": crew, "agent": agent, "description": canary}),
        "tools": add("tools", {**tool, "auth": "TOOL_AUTH_BEARER", "authToken": SECRET, "description": canary}),
        "conversations": add("conversations", {"conversation": {"title": canary}}),
        "jobs": add("jobs", {"target": "flows/errand", "inputs": {"question": canary}}),
    }
    yearly = {"displayName": canary, "target": "flows/errand", "inputs": {"question": canary}, "cron": "@yearly"}
    names["schedules"] = add("schedules", {"schedule": yearly})
    hook = {"displayName": canary, "url": f"https://hooks.example.com/{canary}", "enabled": False}
    kept = {"target": f"flows/{canary}", "ageSeconds": 1_000_000}
    names["retentionPolicies"] = add("retentionPolicies", {"policy": kept})
    names["webhooks"] = add("webhooks", {"webhook": hook})
    names["deliveries"] = add(f"{names['webhooks']}:test", {})
    add("memory", {"record": {"scope": agent, "layer": "MEMORY_LAYER_LONG", "content": canary}})
    sent = http.post(f"/mesh/v1/files/{names['jobs'][5:]}/in", files={"file": ("secret.txt", canary)})
    assert sent.status_code == 200, sent.text
    names["files"] = str(sent.json()["files"][0]["name"])
    names["uploads"] = add("batches/-/uploads", {"path": canary, "partCount": 1})
    names["locks"] = _lock(http, names["jobs"])
    return names


def _lock(http: httpx.Client, job: str) -> str:
    """Wait until the job asks; return its lock."""
    with http.stream("GET", f"/mesh/v1/{job}:watch") as lines:
        for _ in lines.iter_lines():
            if locks := http.get(f"/mesh/v1/{job}/locks").json().get("locks"):
                return str(locks[0]["name"])
    raise AssertionError("the job ended without a lock")
