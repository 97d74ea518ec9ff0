"""The asynchronous client."""

import pathlib
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Self

from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from agentmesh_protos.payments.v1 import ledger_pb2, ledger_pb2_grpc, payments_pb2, payments_pb2_grpc
from agentmesh_protos.registry.v1 import registry_pb2, registry_pb2_grpc
from agentmesh_protos.runner.v1 import app_pb2, app_pb2_grpc, job_pb2, job_pb2_grpc, lock_pb2, lock_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agentmesh._app.allowed import budget_to_pb, retries_to_pb
from agentmesh._client import forms
from agentmesh._client.access import Keys, Sessions, Users
from agentmesh._client.applying import Applying, Step
from agentmesh._client.apps import App, to_app
from agentmesh._client.collections import Agents, Crews, Tasks, Tools
from agentmesh._client.connection import Connection
from agentmesh._client.conversations import Conversations
from agentmesh._client.files import Files
from agentmesh._client.follow import follow, follow_locks, follow_payment
from agentmesh._client.plans import CrewPlan
from agentmesh._client.records import (
    BootStep,
    Event,
    Expose,
    Flow,
    Job,
    Tokens,
    to_boot_step,
    to_event,
    to_expose,
    to_flow,
    to_job,
    to_tokens,
)
from agentmesh._client.requests import full_name, json_of, payment_name, states_of, struct_of, target_name
from agentmesh._client.retention import Retention
from agentmesh._client.schedules import Schedules
from agentmesh._client.tokens import MemoryTokens, TokenStore
from agentmesh._client.waits import Lock, Payment, to_lock, to_payment
from agentmesh._client.webhooks import Webhooks
from agentmesh.allowance import Budget
from agentmesh.retries import Retries, policy

DEFAULT_URL = "http://127.0.0.1:3370"
_PAGE = 200


class AsyncClient:
    """Talks gRPC with a mesh, through its one port.

    `token` is an access token or API key; without one, `login` first.  Every method raises `MeshError`
    (`agentmesh.client`) when the mesh refuses or cannot be reached; unary calls take at most `timeout_s`.

    A flow may be named `flows/hymn` or `hymn`, a job by `jobs/{id}` or its id.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str = "",
        tokens: TokenStore | None = None,
        timeout_s: float = 30.0,
        ca: pathlib.Path | None = None,
        tls_name: str = "",
    ) -> None:
        """`ca` is a PEM of whom to trust at an https address, in place of the CAs that browsers trust; `tls_name` is
        the name in its certificate, where that is not the one in `url`.

        Raises `ValueError` if `url` is not of the form `http://HOST:PORT`, or `ca` cannot be read.
        """
        store = tokens or MemoryTokens(Tokens(access_token=token) if token else None)
        self._connection = Connection(url, store, timeout_s, ca, tls_name)
        channel = self._connection.channel
        self._auth = auth_pb2_grpc.AuthServiceStub(channel)
        self._exposes = registry_pb2_grpc.ExposeServiceStub(channel)
        self._boot = registry_pb2_grpc.BootServiceStub(channel)
        self._flows = registry_pb2_grpc.FlowServiceStub(channel)
        self._apps = app_pb2_grpc.AppServiceStub(channel)
        self._jobs = job_pb2_grpc.JobServiceStub(channel)
        self._locks = lock_pb2_grpc.LockServiceStub(channel)
        self._payments = payments_pb2_grpc.PaymentServiceStub(channel)
        self._ledger = ledger_pb2_grpc.LedgerControlServiceStub(channel)
        self.agents = Agents(self._connection)
        self.crews = Crews(self._connection)
        self.tasks = Tasks(self._connection)
        self.tools = Tools(self._connection)
        self.conversations = Conversations(self._connection)
        self.files = Files(self._connection)
        self.schedules = Schedules(self._connection)
        self.webhooks = Webhooks(self._connection)
        self.retention = Retention(self._connection)
        self.users = Users(self._connection)
        self.keys = Keys(self._connection)
        self.sessions = Sessions(self._connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def serves(self) -> bool:
        """Return whether the mesh says that all of it serves (grpc.health.v1), as its front door knows."""
        stub = health_pb2_grpc.HealthStub(self._connection.channel)
        answer = await self._connection.unary(stub.Check, health_pb2.HealthCheckRequest(), signed_in=False)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def login(self, login: str, password: str) -> Tokens:
        """Sign in; later calls are this user's.  Raises `NotSignedIn` if name and password do not match."""
        request = auth_pb2.LoginRequest(login=login, password=password)
        tokens = to_tokens(await self._connection.unary(self._auth.Login, request, signed_in=False))
        self._connection.tokens.save(tokens)
        return tokens

    async def change_password(self, old_password: str, new_password: str) -> Tokens:
        """Give the caller another password, and sign in with it: all that they held before ends, API keys too.

        Raises `InvalidInputs`, whose `fields` say what is wrong with `old_password` or `new_password`.
        """
        request = auth_pb2.ChangePasswordRequest(old_password=old_password, new_password=new_password)
        tokens = to_tokens(await self._connection.unary(self._auth.ChangePassword, request))
        self._connection.tokens.save(tokens)
        return tokens

    async def logout(self) -> None:
        """Revoke the sign-in and forget it."""
        await self._connection.unary(self._auth.Logout, auth_pb2.LogoutRequest())
        self._connection.tokens.save(None)

    # What can be run

    async def flows(self, query: str = "") -> AsyncGenerator[Flow, None]:
        """Yield the flows that can be run; `query` is a substring of what their authors said."""
        request = registry_pb2.ListFlowsRequest(page_size=_PAGE, query=query)
        async for page in self._connection.pages(self._flows.ListFlows, request):
            for flow in page.flows:
                yield to_flow(flow)

    async def flow(self, name: str) -> Flow:
        """Return one flow.  Raises `NotFound` unless its expose is enabled and has been booted."""
        request = registry_pb2.GetFlowRequest(name=full_name(name, "flows"))
        return to_flow(await self._connection.unary(self._flows.GetFlow, request))

    async def form(self, name: str) -> list[dict[str, Any]]:
        """Return the elements of a flow's form: objects with `type`, and `name` for those that take a value."""
        flow = await self.flow(name)
        request = app_pb2.CallAppRequest(
            name=f"apps/{flow.expose}",
            method="GET",
            path=flow.path,
            headers=[app_pb2.Header(name="accept", value="application/json")],
        )
        return forms.elements(await self._connection.unary(self._apps.CallApp, request))

    # Jobs

    async def create_job(
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
        """Start a job of a flow, or of `agents/{id or slug}` or `crews/{id}`; a flow of such a name is named in full.

        The same `request_id`, flow and inputs again return the same job; one is made up if you give none, so that a
        retry after a broken connection starts nothing twice.  A job of a flow that has a price waits until it is paid
        for; `free` is for operators of a mesh on loopback.  `retries` are in place of those of the flow; of two
        deadlines, in seconds from now, and budgets the lower one holds.  Raises `InvalidInputs` when the inputs are
        refused.
        """
        request = job_pb2.CreateJobRequest(
            target=target_name(flow),
            inputs_json=json_of(inputs or {}),
            request_id=request_id or str(uuid.uuid4()),
            labels=labels,
            conversation=conversation,
            free=free,
            retries=retries_to_pb(policy(retries)),
            deadline_s=deadline_s,
            budget=budget_to_pb(budget),
        )
        return to_job(await self._connection.unary(self._jobs.CreateJob, request))

    async def job(self, name: str) -> Job:
        """Return a job as it is now."""
        request = job_pb2.GetJobRequest(name=full_name(name, "jobs"))
        return to_job(await self._connection.unary(self._jobs.GetJob, request))

    async def jobs(
        self,
        query: str = "",
        *,
        states: Iterable[str] = (),
        targets: Iterable[str] = (),
        all_owners: bool = False,
        page_size: int = _PAGE,
    ) -> AsyncGenerator[Job, None]:
        """Yield jobs, newest first: those in one of `states`, of one of `targets`, if any are named.

        `query` is a substring of id, flow, state, inputs or result; `page_size` is how many are asked for at a time.
        Raises `InvalidInputs` for what is no state.
        """
        request = job_pb2.ListJobsRequest(
            page_size=page_size,
            query=query,
            states=states_of(states),
            targets=map(target_name, targets),
            all_owners=all_owners,
        )
        async for page in self._connection.pages(self._jobs.ListJobs, request):
            for job in page.jobs:
                yield to_job(job)

    def watch(self, job: str, *, after_seq: int = 0) -> AsyncGenerator[Event, None]:
        """Yield each event of the job's log behind `after_seq`, once and in order, to the terminal one.

        Broken connections are resumed.  To go on later, keep the last `seq` you saw.
        """
        return follow(self._connection, self._jobs, full_name(job, "jobs"), after_seq)

    async def events(self, job: str, *, after_seq: int = 0) -> list[Event]:
        """Return the events there are now behind `after_seq`, without waiting for more."""
        request = job_pb2.ListEventsRequest(name=full_name(job, "jobs"), after_seq=after_seq, page_size=1000)
        found: list[Event] = []
        while True:
            page = await self._connection.unary(self._jobs.ListEvents, request)
            found += map(to_event, page.events)
            if not page.next_after_seq:
                return found
            request.after_seq = page.next_after_seq

    async def wait(self, job: str) -> Job:
        """Wait for a job's end and return it.  Use `asyncio.timeout` to bound it."""
        last = (await self.job(job)).last_seq
        async for _ in self.watch(job, after_seq=max(last - 1, 0)):
            pass
        return await self.job(job)

    async def run(self, flow: str, inputs: Mapping[str, Any] | None = None, *, free: bool = False) -> Job:
        """Start a job and wait for its end; `free` as in `create_job`."""
        return await self.wait((await self.create_job(flow, inputs, free=free)).name)

    async def cancel(self, job: str) -> Job:
        """Stop a job; its process is gone when this returns.  A job that has ended is returned as it is."""
        request = job_pb2.CancelJobRequest(name=full_name(job, "jobs"))
        return to_job(await self._connection.unary(self._jobs.CancelJob, request))

    async def pause(self, job: str) -> Job:
        """Halt a job: what waits is held back, what runs is frozen.  Raises for one that waits, or has ended."""
        request = job_pb2.PauseJobRequest(name=full_name(job, "jobs"))
        return to_job(await self._connection.unary(self._jobs.PauseJob, request))

    async def resume(self, job: str) -> Job:
        """Let a paused job go on.  Raises for one that has ended."""
        request = job_pb2.ResumeJobRequest(name=full_name(job, "jobs"))
        return to_job(await self._connection.unary(self._jobs.ResumeJob, request))

    async def delete_job(self, job: str) -> None:
        """Forget a job with its log; one that runs is stopped first."""
        await self._connection.unary(self._jobs.DeleteJob, job_pb2.DeleteJobRequest(name=full_name(job, "jobs")))

    # What jobs wait on

    async def locks(
        self, job: str = "", *, ended: bool = False, all_owners: bool = False
    ) -> AsyncGenerator[Lock, None]:
        """Yield pending locks, newest first: of one job if you name it.  `ended` yields the others, too."""
        request = lock_pb2.ListLocksRequest(
            page_size=_PAGE, job=full_name(job, "jobs") if job else "", show_ended=ended, all_owners=all_owners
        )
        async for page in self._connection.pages(self._locks.ListLocks, request):
            for lock in page.locks:
                yield to_lock(lock)

    async def lock(self, name: str) -> Lock:
        """Return a lock, `jobs/{job}/locks/{lock}`, as it is now."""
        return to_lock(await self._connection.unary(self._locks.GetLock, lock_pb2.GetLockRequest(name=name)))

    async def answer(self, lock: str, inputs: Mapping[str, Any] | None = None, *, request_id: str = "") -> Lock:
        """Answer a lock, `jobs/{job}/locks/{lock}`; return it as it is then.

        Raises `InvalidInputs` with `fields` when the form or the flow refuses the answer: the lock is open still.
        Raises `MeshError` with code FAILED_PRECONDITION when somebody else was faster, or it is over.
        """
        request = lock_pb2.AnswerLockRequest(
            name=lock, inputs=struct_of(inputs or {}), request_id=request_id or str(uuid.uuid4())
        )
        return to_lock(await self._connection.unary(self._locks.AnswerLock, request))

    def watch_locks(self, *, all_owners: bool = False) -> AsyncGenerator[Lock, None]:
        """Yield the locks that are pending, then each lock after a change of it, without end.

        Broken connections are resumed: what changed meanwhile is yielded then.
        """
        return follow_locks(self._connection, self._locks, all_owners)

    async def payment(self, job: str) -> Payment:
        """Return the payment of a job as it is now.  Raises `NotFound` if nobody pays for that job."""
        request = payments_pb2.GetPaymentRequest(name=payment_name(job))
        return to_payment(await self._connection.unary(self._payments.GetPayment, request))

    async def payments(self) -> AsyncGenerator[Payment, None]:
        """Yield payments, newest first."""
        request = payments_pb2.ListPaymentsRequest(page_size=_PAGE)
        async for page in self._connection.pages(self._payments.ListPayments, request):
            for payment in page.payments:
                yield to_payment(payment)

    def watch_payment(self, job: str) -> AsyncGenerator[Payment, None]:
        """Yield the payment of a job as it is, then after each change, to its end.  Broken connections are resumed."""
        return follow_payment(self._connection, self._payments, payment_name(job))

    async def apply(self, plan: CrewPlan) -> list[Step]:
        """Make a crew as it is planned: add what is missing, change what differs, delete tasks that are not in it.

        A crew is known by its display name, an agent of it by its slug, a task by its display name.  Applied again, it
        changes nothing, but for keys, which cannot be compared.  A new crew whose agents are new is all or nothing.
        """
        return await Applying(self.agents, self.crews, self.tasks, self.tools).apply(plan)

    # For operators

    async def exposes(self) -> AsyncGenerator[Expose, None]:
        """Yield every expose, by name."""
        request = registry_pb2.ListExposesRequest(page_size=_PAGE)
        async for page in self._connection.pages(self._exposes.ListExposes, request):
            for expose in page.exposes:
                yield to_expose(expose)

    async def save_expose(
        self,
        name: str,
        bootstrap: str,
        *,
        display_name: str = "",
        enabled: bool = True,
        network: str = "",
        meta: Mapping[str, str] | None = None,
    ) -> Expose:
        """Add an expose, or replace the one of that name.  It runs from the next `boot` on.

        `bootstrap` is YAML with `import_path`, `runtime_env` and so on.  `meta` is YAML about flows, by their path
        in the app (`/` is the root flow): a flow with an `agentIdentifier` is paid for on `network`, `Preprod` or
        `Mainnet`.
        """
        full = full_name(name, "exposes")
        expose = registry_pb2.Expose(name=full, bootstrap=bootstrap, enabled=enabled)
        if display_name:
            expose.display_name = display_name
        if network:
            expose.network = network
        for path, text in (meta or {}).items():
            url = f"/{full.removeprefix('exposes/')}/{path.strip('/')}"
            expose.meta.append(registry_pb2.FlowMeta(url=url, data=text, enabled=True))
        request = registry_pb2.SaveExposeRequest(expose=expose)
        return to_expose(await self._connection.unary(self._exposes.SaveExpose, request))

    async def delete_expose(self, name: str) -> None:
        """Delete an expose.  Its app runs on until the next boot."""
        request = registry_pb2.DeleteExposeRequest(name=full_name(name, "exposes"))
        await self._connection.unary(self._exposes.DeleteExpose, request)

    async def development_token(self) -> str:
        """Return the API key of the buyer that the mesh's own ledger has while only its machine can reach it."""
        request = ledger_pb2.GetDevelopmentTokenRequest()
        return str((await self._connection.unary(self._ledger.GetDevelopmentToken, request)).token)

    async def boot(self, *, force: bool = False) -> AsyncGenerator[BootStep, None]:
        """Start every enabled expose and stop the others; yield what happens.  `force` ends a boot that runs."""
        async for event in self._connection.stream(self._boot.StartBoot, registry_pb2.StartBootRequest(force=force)):
            yield to_boot_step(event)

    async def apps(self) -> AsyncGenerator[App, None]:
        """Yield the apps that are placed."""
        for app in (await self._connection.unary(self._apps.ListApps, app_pb2.ListAppsRequest())).apps:
            yield to_app(app)

    async def refresh_expose(self, name: str) -> AsyncGenerator[BootStep, None]:
        """Start the app of one expose anew, and touch no other; yield what happens."""
        request = registry_pb2.RefreshExposeRequest(name=full_name(name, "exposes"))
        async for event in self._connection.stream(self._boot.RefreshExpose, request):
            yield to_boot_step(event)
