"""Who uses the mesh meanwhile: submitters who repeat what was not answered, a person who answers, and one who pays."""

import asyncio
import contextlib
import random
import secrets
import time

import httpx

from agentmesh.client import AsyncClient, MeshError, NotSignedIn
from tests.faults.flows import LOCK
from tests.faults.promises import PAID, PASSING, STEPPED, WORK, Submission
from tests.faults.recovery import Pulse
from tests.faults.watching import Watch, watch

IMPORT_PATHS = {WORK: "tests.faults.flows:app", PAID: "tests.apps.errand:app"}
NETWORK = "Preprod"
AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "66" * 16
_PATHS = {"": 4, "shared": 4, "steps": 2, "steps-shared": 2, "ask": 1, "ask-shared": 1}
_AGAIN_S = 0.3
_PULSE_S = 0.1
_WATCHED_SHARE = 0.4
_WATCHERS_MAX = 24
"""At once."""


class Load:
    """Everybody who uses the mesh at `url`."""

    def __init__(self, url: str, seed: int, *, pause_s: float, bootstrap: str = "") -> None:
        """Each submitter rests for `pause_s` on average; `bootstrap` is what every expose says besides."""
        self._url = url
        self._seed = seed
        self._pause_s = pause_s
        self._bootstrap = bootstrap
        self.client = AsyncClient(url, timeout_s=15)
        self._http = httpx.AsyncClient(base_url=url, timeout=15)
        self.submissions: list[Submission] = []
        self.stopping = asyncio.Event()
        self.pulses: list[Pulse] = []
        self.watches: list[Watch] = []
        self.watching: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """End who watches, and close the connections."""
        for task in self.watching:
            task.cancel()
        await asyncio.gather(*self.watching, return_exceptions=True)
        await self.client.aclose()
        await self._http.aclose()

    async def sign_in(self) -> None:
        """Sign in, however often that takes."""
        while True:
            with contextlib.suppress(*PASSING):
                await self.client.login("admin", "admin")
                answer = await self._http.post("/api/login", json={"name": "admin", "password": "admin"})
                if answer.status_code == 200:
                    self._http.headers["KODOSUMI_API_KEY"] = str(answer.json()["KODOSUMI_API_KEY"])
                    return
            await asyncio.sleep(_AGAIN_S)

    async def deploy(self) -> None:
        """Expose the apps and boot.  Raises `MeshError`."""
        said = {name: f"import_path: {path}\n{self._bootstrap}" for name, path in IMPORT_PATHS.items()}
        await self.client.save_expose(WORK, said[WORK])
        meta = {"/": f"agentIdentifier: {AGENT}\n"}
        await self.client.save_expose(PAID, said[PAID], network=NETWORK, meta=meta)
        async for step in self.client.boot():
            if step.kind in ("error", "warning"):
                raise MeshError(f"{step.expose}: {step.message}", code="FAILED_PRECONDITION")

    # -- jobs ------------------------------------------------------------------------------------------------------

    async def submit(self, number: int) -> None:
        """Start jobs one after another until told to stop; repeat each until it is acknowledged."""
        chance = random.Random(self._seed * 1000 + number)
        while not self.stopping.is_set():
            submission = self._next(chance, number)
            self.submissions.append(submission)
            await self._until_acknowledged(submission)
            if chance.random() < _WATCHED_SHARE and len(self.watching) < _WATCHERS_MAX:
                self._attach(submission.job, native=chance.random() < 0.5)
            if chance.random() < 0.06:
                with contextlib.suppress(*PASSING):
                    await self.client.cancel(submission.job)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.uniform(0, 2 * self._pause_s)):
                    await self.stopping.wait()

    def _attach(self, job: str, *, native: bool) -> None:
        """Have somebody watch a job to its end."""
        task = asyncio.create_task(watch(self.client, self._http, job, native=native, kept=self.watches))
        self.watching.add(task)
        task.add_done_callback(self.watching.discard)

    def _next(self, chance: random.Random, number: int) -> Submission:
        path = chance.choices(list(_PATHS), list(_PATHS.values()))[0]
        if number % 4 == 1:
            path = "handled"
        if number % 4 == 2 and chance.random() < 0.3:
            path = PAID
        steps = chance.choice((1, 5, 20) if path in STEPPED else (1, 5, 20, 200))
        return Submission(tag=secrets.token_hex(13), path=path, steps=steps)

    async def _until_acknowledged(self, submission: Submission) -> None:
        while True:
            with contextlib.suppress(*PASSING):
                submission.job = await self._ask_for(submission)
            if submission.job:
                return
            await asyncio.sleep(_AGAIN_S)

    async def _ask_for(self, submission: Submission) -> str:
        """Ask for the job; return its name, empty if it was not had."""
        tag = submission.tag
        once = {"Idempotency-Key": tag}
        if submission.path == PAID:
            body = {"identifier_from_purchaser": tag, "input_data": {"gate": "", "question": ""}}
            answer = await self._http.post(f"/sumi/{PAID}/start_job", json=body, headers=once)
            return f"jobs/{answer.json()['job_id']}" if answer.status_code < 300 and "job_id" in answer.text else ""
        if submission.path == "handled":
            inputs = {"tag": tag, "steps": submission.steps}
            url = f"/-/localhost/8005/{WORK}/-/handled"
            answer = await self._http.post(url, json=inputs, headers=once)
            if answer.status_code == 401:
                await self.sign_in()
            return f"jobs/{answer.json()['result']}" if answer.status_code < 300 and answer.json()["result"] else ""
        pause_s = 0.02 if submission.steps <= 20 else 0.0
        count = {"tag": tag, "steps": submission.steps, "pause_s": pause_s}
        try:
            job = await self.client.create_job(f"{WORK}/{submission.path}".rstrip("/"), count, request_id=tag)
        except NotSignedIn:
            await self.sign_in()
            return ""
        return job.name

    async def pulse(self) -> None:
        """Start small jobs one after another until told to stop, and note when each that ended well was asked for."""
        while not self.stopping.is_set():
            begun = time.monotonic()
            with contextlib.suppress(*PASSING):
                if (await self.client.run(WORK, {"tag": "pulse", "steps": 1, "pause_s": 0.0})).succeeded:
                    self.pulses.append(Pulse(begun, time.monotonic()))
            await asyncio.sleep(_PULSE_S)

    # -- people ----------------------------------------------------------------------------------------------------

    async def answer_locks(self) -> None:
        """Answer most of what is asked; the rest expires."""
        while True:
            with contextlib.suppress(*PASSING):
                async for lock in self.client.locks():
                    if lock.title == LOCK and int(lock.id[-1:] or "0", 36) % 8:
                        with contextlib.suppress(*PASSING):
                            await self.client.answer(lock.name, {"word": "yes"}, request_id=lock.name)
            await asyncio.sleep(1)

    async def pay(self) -> None:
        """Pay for what waits for money, as a purchaser who tries until it is said to be done."""
        while True:
            with contextlib.suppress(*PASSING):
                async for payment in self.client.payments():
                    if payment.payable:
                        headers = {"token": await self.client.development_token()}
                        await self._http.post("/api/v1/purchase/", json=payment.purchase(), headers=headers)
            await asyncio.sleep(1)
