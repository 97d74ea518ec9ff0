"""The one place where a job comes to be: whoever checked its inputs, the same is decided and written here.

Decided is what its operator says of the flow, whether it may run and what it costs, and whether its owner has a share
left.  A job of a priced flow waits until the money is in escrow.
"""

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import rfc8785
from agentmesh_protos.runner.v1 import host_pb2

from meshkit import clock, telemetry
from meshkit.errors import Denied, Internal, Invalid, MeshError, NotFound, Unavailable
from meshkit.idempotency import Request
from services.runner.births.allowances import Allowance, Wanted
from services.runner.callers.masking import Given, Masks
from services.runner.callers.shares import Shares
from services.runner.domain import Isolation, Job, State, Terms, files, ids, payments
from services.runner.files.sent import NOTHING, Sent
from services.runner.files.uploads import Uploads
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.ports.catalogue import Catalogue, Offer
from services.runner.ports.store import TooManyOpen, TooMuchStored

_LAUNCH_BYTES_MAX = 9 * 1024 * 1024
"""Of what an app launches: with a result it still goes into one message."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a caller asks for, beside the inputs: the same for every job of one launch."""

    owner: str
    """`users/{uuid}`."""
    expose: str
    base_url: str = ""
    target: str = ""
    """What was asked for; empty: the flow that runs."""
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    conversation: str = ""
    payment: payments.Asked = payments.Asked()  # noqa: RUF009  # frozen, and so shared
    free: bool = False
    """Whether a priced flow shall run free of charge."""
    may_free: bool = False
    """Whether the caller may ask for that."""
    is_operator: bool = False
    """Whether the caller may run what is not theirs."""
    is_sandbox: bool = False
    """Whether the caller tries the mesh out: agents run on the offline model."""
    wanted: Wanted = dataclasses.field(default_factory=Wanted)
    """How often and how long a job may run, and what it may consume."""
    plan: "Plan | None" = None
    """What an agent's or crew's job is born with."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an agent's or crew's job is born with, beside what every job has."""

    brief: bytes
    """As in `Birth.brief`."""
    attempts_max: int
    concurrency_limit: int
    external: bool = False
    """Whether nobody of this mesh runs it."""


class Births:
    """Makes jobs of launches."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        catalogue: Catalogue,
        *,
        hashes: str,
        shares: Shares,
        masks: Masks,
        uploads: Uploads,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._shares = shares
        self._uploads = uploads
        self._masks = masks
        self._dispatcher = dispatcher
        self._catalogue = catalogue
        self._hashes = hashes
        self._now = now

    async def offer(self, flow: str, *, is_listed: bool = True) -> Offer:
        """Return what is said of a flow.  Raises `NotFound` if it may not run, `Unavailable` if that is not known.

        `is_listed` is whether its app lists it: what a route launches beside the flows nobody offers, and it is free.
        """
        offer = await self._catalogue.find(flow)
        if offer is None:
            if is_listed:
                raise NotFound(f"{flow} is not a flow that is offered", resource=flow)
            return Offer()
        if not offer.enabled:
            raise NotFound(f"{flow} is switched off by its operator", resource=flow)
        return offer

    async def bear(
        self,
        launches: Sequence[host_pb2.Launch],
        order: Order,
        isolation: Callable[[str], Isolation],
        request: Request | None = None,
        *,
        listed: Container[str] = (),
        given: Callable[[str], Given] = lambda path: Given(),
        allowed: Callable[[str], Allowance] = lambda path: Allowance(),
        sent: Sent = NOTHING,
    ) -> list[Job]:
        """Keep the jobs of a launch and hand them out; they are on disk when this returns, all or none.

        `isolation` says of a flow's path what separates its jobs, `given` what is secret in what was sent for it, and
        `allowed` what a job may take; `request` is kept with what it made; `listed` has the paths of the flows that the
        app lists; the first job gets the files that were `sent`.

        Raises `Internal` if a host does not keep to the protocol, `NotFound` if a flow may not run,
        `Invalid` for a payment that cannot be asked for, `Denied` if the caller may not run it free of charge,
        `Exhausted` if the owner's share is used up, and `AlreadyExists` if `request` was made before.
        """
        jobs = []
        for number, launch in enumerate(launches):
            flow = _flow(order.expose, launch.path)
            is_listed = f"/{launch.path.strip('/')}" in listed
            offer = Offer() if order.plan is not None else await self.offer(flow, is_listed=is_listed)
            # The buyer's nonce and hash are of the job that was asked for, not of others that come with it.
            asked = order.payment if number == 0 else order.payment.for_another()
            terms = self._terms(offer, order, asked, launch.inputs_json)
            job = self._job(launch, flow, order, isolation(launch.path), terms, allowed(launch.path))
            jobs.append(self._masks.concealed(job, given(launch.path)))
        if not sent.fields:
            return await self._admit(jobs, order, request)
        async with self._uploads.claimed(order.owner, sent.uploads):
            return await self._admit_with(sent, jobs, order, request)

    async def _admit_with(self, sent: Sent, jobs: Sequence[Job], order: Order, request: Request | None) -> list[Job]:
        """Admit jobs, the first with files; if that is refused it has none, and its uploads may be launched with."""
        first = jobs[0].job_id
        delivered = await self._uploads.deliver(order.owner, sent.uploads, first)
        told = {first: f'{{"Upload":{{"files":{files.listed(delivered)}}}}}'}
        try:
            born = await self._admit(jobs, order, request, told)
        except BaseException as error:
            if await self._is_unborn(first, error):
                await self._uploads.recall(order.owner, first)
            raise
        await self._uploads.settle(order.owner, sent.uploads)
        return born

    async def _is_unborn(self, job_id: str, error: BaseException) -> bool:
        """Return whether what `_admit` raised means that there is no such job: else its files are its own.

        A refusal says so.  What came in between may have come behind the write: then the store is asked, and if it
        cannot answer, they are left to the sweep.
        """
        if isinstance(error, MeshError) and not isinstance(error, Unavailable):
            return True
        try:
            return not await self._dispatcher.knows(job_id)
        except Unavailable:
            return False

    async def _admit(
        self,
        jobs: Sequence[Job],
        order: Order,
        request: Request | None,
        uploads: Mapping[str, str] = MappingProxyType({}),
    ) -> list[Job]:
        brief = order.plan.brief if order.plan is not None else b""
        limits = {"open_max": self._shares.open_max, "stored_max": self._shares.stored_max}
        try:
            return await self._dispatcher.admit(jobs, request, brief, uploads=uploads, **limits)
        except TooManyOpen:
            raise self._shares.too_many_open() from None
        except TooMuchStored:
            raise self._shares.too_much_stored() from None

    def _terms(self, offer: Offer, order: Order, asked: payments.Asked, inputs_json: str) -> Terms | None:
        agent = offer.agent_identifier or asked.agent_identifier
        if not agent:
            return None
        if order.free:
            if not order.may_free:
                raise Denied("a priced flow runs free of charge for operators of a mesh on loopback only")
            return None
        identifier = asked.purchaser_identifier or secrets.token_hex(10)
        payments.check_identifier(identifier)
        return Terms(
            agent_identifier=agent,
            network=offer.network or asked.network,
            purchaser_identifier=identifier,
            input_hash=asked.input_hash or input_hash(identifier, _object(inputs_json)),
            hashes=self._hashes,
        )

    def _job(
        self,
        launch: host_pb2.Launch,
        flow: str,
        order: Order,
        isolation: Isolation,
        terms: Terms | None,
        allowance: Allowance,
    ) -> Job:
        if not ids.is_job_id(launch.job_id):
            raise Internal("the app chose a job id that is not 24 hex digits")
        now, plan, retries = self._now(), order.plan, allowance.retries
        if launch.ByteSize() > _LAUNCH_BYTES_MAX:
            raise Internal("the app sent a launch that is too large")
        _object(launch.inputs_json), _object(launch.meta_json)  # they are wrapped into events as they are
        extra = {**_object(launch.extra_json), **order.extra}
        return Job(
            job_id=launch.job_id,
            flow=flow,
            target=order.target or flow,
            owner=order.owner,
            state=State.PENDING if plan and plan.external else State.AWAITING_PAYMENT if terms else State.QUEUED,
            inputs_json=launch.inputs_json or "{}",
            inputs_blob=launch.inputs_blob,
            meta_json=launch.meta_json or "{}",
            extra_json=_dumps(extra) if extra else "",
            entry_point=launch.entry_point,
            base_url=order.base_url,
            traceparent=place.traceparent if (place := telemetry.here()) else "",
            isolation=isolation,
            labels_json=_dumps(order.labels) if order.labels else "",
            conversation=order.conversation,
            attempts_max=retries.attempts if retries is not None else plan.attempts_max if plan is not None else 1,
            retries_json=retries.dumped() if retries is not None else "",
            deadline_at=now + allowance.deadline_s if allowance.deadline_s else 0.0,
            budget_json=allowance.budget.dumped(),
            concurrency_limit=plan.concurrency_limit if plan is not None else 0,
            payment_json=_dumps(dataclasses.asdict(terms)) if terms is not None else "",
            created_at=now,
            updated_at=now,
        )


def input_hash(identifier: str, inputs: dict[str, Any]) -> str:
    """Return SHA-256 of `{identifier};{inputs as RFC 8785 JSON}` in hex, as buyers reckon it (MIP-004).

    Raises `Invalid` for inputs that RFC 8785 cannot say the same everywhere, such as integers beyond 2**53.
    """
    try:
        canonical = rfc8785.dumps(inputs)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise Invalid("the inputs of a priced flow cannot be hashed", {"inputs": [str(error)[:200]]}) from None
    return hashlib.sha256(identifier.encode() + b";" + canonical).hexdigest()


def _flow(expose: str, path: str) -> str:
    return f"flows/{expose}/{path.strip('/')}".rstrip("/")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Internal("the app sent something that is not a JSON object")
    return value


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
