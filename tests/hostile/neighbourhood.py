"""A host on which one job misbehaves, with neighbours that are asked how they are."""

import itertools
import json
import pathlib
from typing import Any

from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from tests.host.stage import DEADLINE_S, Stage

APP = "tests.hostile.flows:app"
FLOWS = "tests.hostile.flows:"
CANCELLED, FAILED, SUCCEEDED = job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_SUCCEEDED


class Neighbourhood:
    """A host, and neighbours of both kinds of isolation."""

    def __init__(self, host: Stage, folder: pathlib.Path | None = None) -> None:
        """`folder` is one that the host's jobs may write to."""
        self.host = host
        self._folder = folder
        self.alone = ""
        """A neighbour in a process of its own."""
        self.sharing = ""
        """A neighbour in the worker."""
        self.hellos = len(host.hellos)
        """How often the host may have dialled."""
        self._words = itertools.count(1)
        self._heard: dict[str, list[str]] = {}
        self._answered: dict[str, int] = {}

    def common_folder(self) -> pathlib.Path:
        """Make a folder that the host's jobs may write to."""
        assert self._folder is not None, "there is one"
        path = self._folder / f"{next(self._words)}"
        path.mkdir()
        path.chmod(0o777)
        return path

    async def move_in(self, *, shared: bool) -> str:
        """Start a neighbour, and see that it listens."""
        job = self.host.run(f"{FLOWS}neighbour", shared=shared)
        self._heard[job] = []
        await self.host.until(lambda: self.host.locks(job))
        if shared:
            self.sharing = job
        else:
            self.alone = job
        return job

    def start(self, flow: str, *, shared: bool = False, **inputs: Any) -> str:
        """Start what misbehaves."""
        return self.host.run(FLOWS + flow, shared=shared, inputs_json=json.dumps(inputs))

    async def run(self, flow: str, *, shared: bool = False, **inputs: Any) -> tuple[str, host_pb2.Outcome]:
        """Run what misbehaves to its end; return its job and how it ended."""
        job = self.start(flow, shared=shared, **inputs)
        return job, await self.host.end(job)

    async def answer(self, job: str) -> None:
        """Wait for the next lock of a job, and answer it."""
        known = self._answered.get(job, 0)
        await self.host.until(lambda: len(self.host.locks(job)) > known)
        self._answered[job] = known + 1
        self.host.answer(job, self.host.locks(job)[known].lock_id, json.dumps(f"word {next(self._words)}"))

    def events(self, job: str, kind: str = "") -> list[str]:
        """Return what a job has said, without what its worker says of it where a machine is too slow for its loop."""
        return [said for said in self.host.events(job, kind) if "the event loop" not in said]

    async def assert_unharmed(self) -> None:
        """Each neighbour hears, and says what it says and nothing else; new jobs run, and the app answers."""
        host = self.host
        for job in (self.alone, self.sharing):
            word = f"word {next(self._words)}"
            known = self._answered.get(job, 0)
            await host.until(lambda job=job, known=known: len(host.locks(job)) > known)  # type: ignore[misc]
            self._answered[job] = known + 1
            host.answer(job, host.locks(job)[known].lock_id, json.dumps(word))
            self._heard[job].append(word)
            await host.until(lambda job=job, known=known: len(host.locks(job)) > known + 1)  # type: ignore[misc]
            for kind, says in (("debug", ["says"]), ("stdout", ["prints", "in a thread"]), ("stderr", ["complains"])):
                assert [f"{verb} {word}" for word in self._heard[job] for verb in says] == self.events(job, kind)
            assert host.outcome(job) is None
        for shared in (False, True):
            outcome = await host.end(host.run(f"{FLOWS}noop", shared=shared))
            assert (SUCCEEDED, {"str": "True"}) == (outcome.state, json.loads(outcome.result_json or "{}"))
        number = 1_000_000 + next(self._words)
        call = host_pb2.Call(call_id=number, method="GET", path="/ping", timeout_s=DEADLINE_S)
        host.say(host_pb2.RunnerMessage(call=call))
        found = await host.until(lambda: [a for a in host.answers if a.call_result.call_id == number])
        assert (200, b'"pong"') == (found[0].call_result.status, found[0].call_result.body)
        assert self.hellos == len(host.hellos)
