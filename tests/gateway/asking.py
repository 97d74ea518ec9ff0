"""An operator with the flows of `tests/runner/samples/locking.py`, which ask while they run."""

import json
from typing import Any

import httpx

from tests.gateway import stack

LATER = {"accept": "application/vnd.mip-003+json"}
NO_LOCK = "00000000-0000-4000-8000-000000000000"
"""A lock that there is not."""


class Asking:
    """An operator with flows that ask."""

    def __init__(self, edge: stack.Edge) -> None:
        self.edge = edge
        self.panel = stack.Panel(edge)

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request as the operator."""
        return await self.panel.call(method, path, **more)

    async def launch(self, **inputs: Any) -> str:
        """Start a job at the panel; return its fid."""
        answer = await self.call("POST", "/-/asking/", json=inputs)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["result"])

    async def start(self, **inputs: Any) -> str:
        """Start a job through Sumi; return its id."""
        body = {"identifier_from_purchaser": "aabbaabb11221122aabb", "input_data": inputs}
        answer = await self.call("POST", "/sumi/asking/start_job", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    async def events(self, fid: str, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Follow a job's stream until it has had so many events of a kind; return their objects."""
        found: list[dict[str, Any]] = []
        headers = self.edge.operator
        async with self.edge.http.stream("GET", f"/outputs/stream/{fid}", headers=headers) as answer:
            event = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                event = value if name == "event" else event
                if name == "data" and event == kind:
                    found.append(json.loads(value.partition(":")[2]))
                    if len(found) == count:
                        return [item["dict"] for item in found]
        raise AssertionError(f"{fid} ended with {found}")

    async def lock(self, fid: str) -> str:
        """Wait until a job asks; return the id of its lock."""
        return str((await self.events(fid, "lock"))[0]["lid"])

    async def result(self, fid: str) -> Any:
        """Wait until a job has ended; return its result."""
        await self.call("GET", f"/outputs/stream/{fid}")
        return (await self.call("GET", f"/outputs/raw/{fid}")).json()
