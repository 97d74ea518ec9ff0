"""The acceptance story, told step by step: boot, run, stream, lock, pay, agents.

A step tries again what a mesh refuses while it mends itself, as any client would: what is created has a key of its own,
so that trying twice makes one.
"""

import json
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import httpx

from agentmesh.client import Event, MeshError
from agentmesh.testing import Mesh
from tests.mesh_wide.panel import parse_sse

T = TypeVar("T")

DEADLINE_S = 90.0
NETWORK = "Preprod"
AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "65" * 16
PASSING = (httpx.HTTPError, MeshError, AssertionError)
"""What a mesh that mends itself may say for a while."""


class Story:
    """One user, one mesh; `before` is called with the name of each step before it is taken."""

    def __init__(self, mesh: Mesh, before: Callable[[str], None] = lambda step: None) -> None:
        self.mesh = mesh
        self.client = mesh.client
        self._before = before
        self.http = httpx.Client(base_url=mesh.url, timeout=30)
        login = eventually(lambda: good(self.http.post("/api/login", json={"name": "admin", "password": "admin"})))
        self.http.headers["KODOSUMI_API_KEY"] = login["KODOSUMI_API_KEY"]

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def boot(self) -> None:
        """A free flow and a paid one are exposed, and booted."""
        self._before("boot")
        meta = {"/": f"agentIdentifier: {AGENT}\n"}
        eventually(lambda: self.client.save_expose("throughput", "import_path: examples.throughput.app:fast_app\n"))
        eventually(
            lambda: self.client.save_expose(
                "errand", "import_path: tests.apps.errand:app\n", network=NETWORK, meta=meta
            )
        )

        def booted() -> None:
            assert [] == [step for step in self.client.boot() if step.kind in ("error", "warning")]
            assert {"throughput", "errand"} <= {flow.name.split("/")[1] for flow in self.client.flows()}

        eventually(booted)

    def run(self) -> str:
        """A job runs to its result; return its name."""
        self._before("run")
        name = self._start("flows/throughput", {"events": 50, "rate": 0, "size": 100})
        job = eventually(lambda: self.client.wait(name, DEADLINE_S))
        assert job.succeeded, job.error
        return name

    def stream(self, name: str) -> None:
        """Whoever reads a log reads the same, without a gap, from wherever they begin; also while it is written."""
        self._before("stream")
        long = self._start("flows/throughput", {"events": 300, "rate": 100, "size": 10})
        for each in (name, long):
            whole = self._log(each)
            assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
            assert whole[-1].last
            assert 1 == sum(event.last for event in whole)
            assert eventually(lambda each=each: self.client.events(each, after_seq=20)) == whole[20:]  # type: ignore[misc]
            seen = [event.id for event in parse_sse(self._sse(each)) if event.id]
            assert seen == [event.seq for event in whole]

    def lock(self) -> None:
        """A job asks a human, who answers; its log tells it once."""
        self._before("lock")
        name = self._start("flows/errand", {"gate": "", "question": "Well?"}, free=True)
        asked = self._until(name, lambda event: event.kind == "lock")
        self._answer(name, asked)
        job = eventually(lambda: self.client.wait(name, DEADLINE_S))
        assert (True, "The word is *please*.") == (job.succeeded, job.text), job.error
        kinds = [event.kind for event in self._log(name)]
        assert (1, 1, 1) == tuple(map(kinds.count, ("lock", "lease", "final")))

    def pay(self) -> None:
        """A job waits to be paid for, runs, asks, and its result reaches the chain; nothing is told twice."""
        self._before("pay")
        identifier = secrets.token_hex(13)
        body = {"identifier_from_purchaser": identifier, "input_data": {"gate": "", "question": "Well?"}}
        once = {"Idempotency-Key": identifier}
        started = eventually(lambda: good(self.http.post("/sumi/errand/start_job", json=body, headers=once)))
        name = f"jobs/{started['job_id']}"
        payment = eventually(lambda: first(self.client.watch_payment(name), lambda payment: payment.payable))
        self._before("buy")
        token = eventually(self.client.development_token)

        def buy() -> None:
            answer = self.http.post("/api/v1/purchase/", json=payment.purchase(), headers={"token": token})
            assert answer.status_code in (200, 409), answer.text

        eventually(buy)
        asked = self._until(name, lambda event: event.kind == "lock")
        self._before("answer")
        self._answer(name, asked)
        job = eventually(lambda: self.client.wait(name, DEADLINE_S))
        assert job.succeeded, job.error
        submitted = eventually(
            lambda: first(self.client.watch_payment(name), lambda payment: payment.state == "result_submitted")
        )
        assert submitted.result_hash
        steps = [json.loads(event.payload)["dict"]["step"] for event in self._log(name) if event.kind == "payment"]
        assert ["initialized", "final_result"] == steps

    def agents(self) -> None:
        """An agent is defined, and answers."""
        self._before("agents")
        slug = f"counter-{secrets.token_hex(4)}"
        fields: dict[str, Any] = {
            "slug": slug,
            "display_name": "Counter",
            "role": "Counter",
            "goal": "Count",
            "model": "openai/gpt-4o-mini",
        }
        eventually(lambda: self.client.agents.create(request_id=slug, **fields))
        name = self._start(f"agents/{slug}", {"prompt": "Hello"})
        job = eventually(lambda: self.client.wait(name, DEADLINE_S))
        assert job.succeeded, job.error
        assert job.text

    def tell(self) -> None:
        """Tell it all."""
        self.boot()
        self.stream(self.run())
        self.lock()
        self.pay()
        self.agents()

    def _start(self, target: str, inputs: dict[str, Any], *, free: bool = False) -> str:
        body = {"target": target, "inputs": inputs, "free": free, "requestId": secrets.token_hex(16)}
        return str(eventually(lambda: good(self.http.post("/mesh/v1/jobs", json=body)))["name"])

    def _answer(self, name: str, asked: Event) -> None:
        lock = f"{name}/locks/{json.loads(asked.payload)['dict']['lid']}"
        eventually(lambda: self.client.answer(lock, {"word": "please"}, request_id=lock))

    def _until(self, name: str, when: Callable[[Event], bool]) -> Event:
        return eventually(lambda: first(self.client.watch(name), when))

    def _log(self, name: str) -> list[Event]:
        """Follow a log to its end, though what we follow it through ends before."""

        def followed() -> list[Event]:
            found = list(self.client.watch(name))
            assert found
            assert found[-1].last
            return found

        return eventually(followed)

    def _sse(self, name: str) -> str:
        path = f"/outputs/stream/{name.removeprefix('jobs/')}"

        def read() -> str:
            answer = self.http.get(path, timeout=DEADLINE_S)
            assert 200 == answer.status_code, answer.text
            return answer.text

        return eventually(read)


def first(items: Iterator[T], when: Callable[[T], bool]) -> T:
    """Return the first of the items that is as it should be."""
    assert isinstance(items, Generator)
    item: T
    try:
        for item in items:
            if when(item):
                return item
    finally:
        items.close()
    raise AssertionError("it ended before")


def eventually(work: Callable[[], T]) -> T:
    """Try again for as long as the mesh needs to mend itself."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return work()
        except PASSING:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # between two tries, not for a state


def good(answer: httpx.Response) -> dict[str, Any]:
    """Return the body of a good answer."""
    assert answer.status_code in (200, 201), f"{answer.status_code}: {answer.text}"
    return dict(answer.json())
