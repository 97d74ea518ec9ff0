"""The same client for code without asyncio."""

import asyncio
import pathlib
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar

from agentmesh._client.aio import DEFAULT_URL, AsyncClient
from agentmesh._client.applying import Step
from agentmesh._client.apps import App
from agentmesh._client.plans import CrewPlan
from agentmesh._client.records import BootStep, Event, Expose, Flow, Job, Tokens
from agentmesh._client.sync_access import SyncKeys, SyncSessions, SyncUsers
from agentmesh._client.sync_collections import SyncAgents, SyncConversations, SyncCrews, SyncTasks, SyncTools
from agentmesh._client.sync_files import SyncFiles
from agentmesh._client.sync_timed import SyncRetention, SyncSchedules, SyncWebhooks
from agentmesh._client.tokens import TokenStore
from agentmesh._client.waits import Lock, Payment
from agentmesh.allowance import Budget
from agentmesh.retries import Retries

T = TypeVar("T")
_END: Any = object()


class Client:
    """`AsyncClient` with blocking methods; see there.  Works in notebooks too: its loop runs in a thread of its own."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str = "",
        tokens: TokenStore | None = None,
        timeout_s: float = 30.0,
        ca: pathlib.Path | None = None,
    ) -> None:
        """`ca` is as in `AsyncClient`.  Raises `ValueError` if `url` is not of the form `http://HOST:PORT`, or `ca`
        cannot be read.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="agentmesh-client", daemon=True)
        self._thread.start()
        try:
            self._client = self._call(_make(url, token, tokens, timeout_s, ca))
        except BaseException:
            self._stop()
            raise
        runner = _Runner(self)
        self.agents = SyncAgents(runner, self._client.agents)
        self.crews = SyncCrews(runner, self._client.crews)
        self.tasks = SyncTasks(runner, self._client.tasks)
        self.tools = SyncTools(runner, self._client.tools)
        self.conversations = SyncConversations(runner, self._client.conversations)
        self.files = SyncFiles(runner, self._client.files)
        self.schedules = SyncSchedules(runner, self._client.schedules)
        self.webhooks = SyncWebhooks(runner, self._client.webhooks)
        self.retention = SyncRetention(runner, self._client.retention)
        self.users = SyncUsers(runner, self._client.users)
        self.keys = SyncKeys(runner, self._client.keys)
        self.sessions = SyncSessions(runner, self._client.sessions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and end the thread."""
        if not self._loop.is_closed():
            self._call(self._client.aclose())
            self._stop()

    def serves(self) -> bool:
        """Return whether the mesh says that all of it serves."""
        return self._call(self._client.serves())

    def login(self, login: str, password: str) -> Tokens:
        """Sign in; later calls are this user's."""
        return self._call(self._client.login(login, password))

    def change_password(self, old_password: str, new_password: str) -> Tokens:
        """Give the caller another password, and sign in with it."""
        return self._call(self._client.change_password(old_password, new_password))

    def logout(self) -> None:
        """Revoke the sign-in and forget it."""
        self._call(self._client.logout())

    def flows(self, query: str = "") -> Iterator[Flow]:
        """Yield the flows that can be run."""
        return self._iterate(self._client.flows(query))

    def flow(self, name: str) -> Flow:
        """Return one flow."""
        return self._call(self._client.flow(name))

    def form(self, name: str) -> list[dict[str, Any]]:
        """Return the elements of a flow's form."""
        return self._call(self._client.form(name))

    def create_job(
        self,
        flow: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        request_id: str = "",
        labels: Mapping[str, str] | None = None,
        conversation: str = "",
        free: bool = False,
        retries: Retries | int | None = None,
        deadline_s: float = 0.0,
        budget: Budget | None = None,
    ) -> Job:
        """Start a job of a flow, or of `agents/{id or slug}` or `crews/{id}`."""
        return self._call(
            self._client.create_job(
                flow,
                inputs,
                request_id=request_id,
                labels=labels,
                conversation=conversation,
                free=free,
                retries=retries,
                deadline_s=deadline_s,
                budget=budget,
            )
        )

    def job(self, name: str) -> Job:
        """Return a job as it is now."""
        return self._call(self._client.job(name))

    def jobs(
        self, query: str = "", *, states: Iterable[str] = (), targets: Iterable[str] = (), all_owners: bool = False
    ) -> Iterator[Job]:
        """Yield jobs, newest first."""
        return self._iterate(self._client.jobs(query, states=states, targets=targets, all_owners=all_owners))

    def watch(self, job: str, *, after_seq: int = 0) -> Iterator[Event]:
        """Yield each event of a job's log behind `after_seq`, to the terminal one."""
        return self._iterate(self._client.watch(job, after_seq=after_seq))

    def events(self, job: str, *, after_seq: int = 0) -> list[Event]:
        """Return the events there are now."""
        return self._call(self._client.events(job, after_seq=after_seq))

    def wait(self, job: str, timeout_s: float | None = None) -> Job:
        """Wait for a job's end and return it.  Raises `TimeoutError` after `timeout_s`; the job runs on."""
        try:
            return self._call(asyncio.wait_for(self._client.wait(job), timeout_s))
        except TimeoutError:
            raise TimeoutError(f"{job} has not ended after {timeout_s} s: it runs on") from None

    def run(self, flow: str, inputs: Mapping[str, Any] | None = None, *, free: bool = False) -> Job:
        """Start a job and wait for its end."""
        return self._call(self._client.run(flow, inputs, free=free))

    def cancel(self, job: str) -> Job:
        """Stop a job; its process is gone when this returns."""
        return self._call(self._client.cancel(job))

    def pause(self, job: str) -> Job:
        """Halt a job: what waits is held back, what runs is frozen."""
        return self._call(self._client.pause(job))

    def resume(self, job: str) -> Job:
        """Let a paused job go on."""
        return self._call(self._client.resume(job))

    def delete_job(self, job: str) -> None:
        """Forget a job with its log; one that runs is stopped first."""
        self._call(self._client.delete_job(job))

    def locks(self, job: str = "", *, ended: bool = False, all_owners: bool = False) -> Iterator[Lock]:
        """Yield pending locks, newest first."""
        return self._iterate(self._client.locks(job, ended=ended, all_owners=all_owners))

    def lock(self, name: str) -> Lock:
        """Return a lock as it is now."""
        return self._call(self._client.lock(name))

    def answer(self, lock: str, inputs: Mapping[str, Any] | None = None, *, request_id: str = "") -> Lock:
        """Answer a lock; return it as it is then."""
        return self._call(self._client.answer(lock, inputs, request_id=request_id))

    def watch_locks(self, *, all_owners: bool = False) -> Iterator[Lock]:
        """Yield the locks that are pending, then each lock after a change of it, without end."""
        return self._iterate(self._client.watch_locks(all_owners=all_owners))

    def payment(self, job: str) -> Payment:
        """Return the payment of a job as it is now."""
        return self._call(self._client.payment(job))

    def payments(self) -> Iterator[Payment]:
        """Yield payments, newest first."""
        return self._iterate(self._client.payments())

    def watch_payment(self, job: str) -> Iterator[Payment]:
        """Yield the payment of a job as it is, then after each change, to its end."""
        return self._iterate(self._client.watch_payment(job))

    def exposes(self) -> Iterator[Expose]:
        """Yield every expose, by name.  Operators only."""
        return self._iterate(self._client.exposes())

    def save_expose(
        self,
        name: str,
        bootstrap: str,
        *,
        display_name: str = "",
        enabled: bool = True,
        network: str = "",
        meta: Mapping[str, str] | None = None,
    ) -> Expose:
        """Add or replace an expose.  Operators only."""
        return self._call(
            self._client.save_expose(
                name, bootstrap, display_name=display_name, enabled=enabled, network=network, meta=meta
            )
        )

    def delete_expose(self, name: str) -> None:
        """Delete an expose.  Its app runs on until the next boot.  Operators only."""
        self._call(self._client.delete_expose(name))

    def apply(self, plan: CrewPlan) -> list[Step]:
        """Make a crew as it is planned; return what was done."""
        return self._call(self._client.apply(plan))

    def development_token(self) -> str:
        """Return the API key of the buyer that the mesh's own ledger has while only its machine can reach it."""
        return self._call(self._client.development_token())

    def apps(self) -> Iterator[App]:
        """Yield the apps that are placed."""
        return self._iterate(self._client.apps())

    def refresh_expose(self, name: str) -> Iterator[BootStep]:
        """Start the app of one expose anew, and touch no other; yield what happens."""
        return self._iterate(self._client.refresh_expose(name))

    def boot(self, *, force: bool = False) -> Iterator[BootStep]:
        """Start every enabled expose; yield what happens.  Operators only."""
        return self._iterate(self._client.boot(force=force))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("this client is closed: make another")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C while waiting: end the call, too
            raise

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        try:
            while (item := self._call(_next(items))) is not _END:
                yield item
        finally:
            if not self._loop.is_closed():
                self._call(_close(items))

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Runner:
    """What the collections run on."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return self._client._call(work)

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        return self._client._iterate(items)


async def _make(
    url: str, token: str, tokens: TokenStore | None, timeout_s: float, ca: pathlib.Path | None
) -> AsyncClient:
    return AsyncClient(url, token=token, tokens=tokens, timeout_s=timeout_s, ca=ca)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items, _END)


async def _close(items: Any) -> None:
    await items.aclose()
