"""What the runner keeps: jobs, their logs, locks, apps.  Times are seconds since 1970, 0.0 where there is none yet."""

import dataclasses
import enum

from services.runner.domain.states import TERMINAL, Isolation, LockState, PaymentStep, Reason, State


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a job's log; `seq` is 0 until the store has numbered it."""

    kind: str
    payload: str
    time: float
    """Seconds since 1970."""
    detail: str = ""
    """For operators only."""
    seq: int = 0
    sealed: bytes = b""
    """What a step has returned, if some of it is secret: the payload has masks then."""

    def numbered(self, seq: int) -> "Event":
        """Return the event with its number (spelt out: `dataclasses.replace` takes three times as long)."""
        return Event(
            kind=self.kind, payload=self.payload, time=self.time, detail=self.detail, seq=seq, sealed=self.sealed
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a target.  Times are seconds since 1970, 0.0 where there is none yet."""

    job_id: str
    flow: str
    """The flow that runs: `flows/{expose}` or `flows/{expose}/{path}`."""
    target: str = ""
    """What was asked for: `flows/…`, `agents/{id}` or `crews/{id}`."""
    owner: str
    """`users/{uuid}`."""
    state: State
    reason: Reason = Reason.NONE
    error: str = ""
    result_json: str = ""
    inputs_json: str = "{}"
    inputs_blob: bytes = b""
    sealed: bytes = b""
    """Its inputs, if some of them are secret: the two above have masks then."""
    meta_json: str = "{}"
    extra_json: str = ""
    entry_point: str = ""
    base_url: str = ""
    traceparent: str = ""
    """The span it was born in (W3C trace context); empty if nobody traces it."""
    isolation: Isolation = Isolation.PROCESS
    labels_json: str = ""
    """What its caller wrote on it: a JSON object of texts; empty if nothing."""
    conversation: str = ""
    """An id of the caller's; empty if it belongs to none."""
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    updated_at: float
    last_seq: int = 0
    host_id: str = ""
    """Who holds the lease; empty if nobody."""
    epoch: int = 0
    """Of the lease: one more each time it is given."""
    attempt: int = 0
    """How often its process was started."""
    attempts_max: int = 1
    """How often it may be started: one that is lost is started again until then."""
    failures: int = 0
    """How many attempts were lost or have failed: one that was parked for an answer did neither."""
    retries_json: str = ""
    """When it is started again (`Retries`), as JSON; empty: when it is lost, and at the mesh's own pace."""
    deadline_at: float = 0.0
    """When it fails unless it has ended."""
    budget_json: str = ""
    """What a flow's job may consume (`Budget`), as JSON; empty if that is not limited."""
    concurrency_limit: int = 0
    """How many jobs of its target may run at once; 0 is no limit."""
    source_seq: int = 0
    """The last number that the lease's holder reported."""
    pending_locks: tuple[str, ...] = ()
    """Ids of locks that wait for an answer."""
    payment_json: str = ""
    """What it is paid for with (`Terms`), as JSON; empty for a job that costs nothing."""
    payment_step: PaymentStep = PaymentStep.NONE
    payment_todo: str = ""
    """What the payments service must still be told: `submit:{hash}` or `refund`; empty if nothing."""
    due_at: float = 0.0
    """When a paid job's result must be submitted."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    """In millionths of the operator's currency."""
    stored_bytes: int = 0
    """Of what is kept of it, as the store counts: inputs, log, locks and result."""
    progress: float = -1.0
    """In percent; negative if its flow has not said."""
    progress_text: str = ""

    @property
    def is_defined(self) -> bool:
        """Whether it runs an agent or a crew, as it was defined when the job was born."""
        return not self.target.startswith("flows/") and self.target != ""

    @property
    def expose(self) -> str:
        """The expose's id."""
        return self.flow.split("/")[1]

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in TERMINAL

    @property
    def parked(self) -> bool:
        """Whether it waits, for an answer or to be resumed, and no process waits with it: another attempt goes on."""
        return self.state in (State.AWAITING_INPUT, State.PAUSED) and not self.host_id

    @property
    def unasked(self) -> bool:
        """Whether its purchaser must still be asked to pay."""
        return self.state == State.AWAITING_PAYMENT and self.payment_step == PaymentStep.NONE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """What says of a job when another attempt is made: each as `Job` has it."""

    job_id: str
    updated_at: float
    epoch: int
    attempt: int
    failures: int
    retries_json: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A question to a human that a job waits on."""

    lock_id: str
    job_id: str
    owner: str
    """`users/{uuid}` of the job's owner."""
    title: str
    """What the flow calls it."""
    elements_json: str
    """The form: a JSON array of elements."""
    data_json: str
    created_at: float
    expires_at: float
    state: LockState = LockState.PENDING
    answered_at: float = 0.0
    answered_by: str = ""
    result_json: str = ""
    """What the flow gets; empty before an answer."""
    sealed: bytes = b""
    """The same, if some of it is secret: the one above has masks then."""

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"jobs/{self.job_id}/locks/{self.lock_id}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What another attempt of a job is told of a lock: each as `Lock` has it, without the form."""

    lock_id: str
    title: str
    data_json: str
    state: LockState
    result_json: str
    sealed: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OpenLock:
    """A lock that a job asks for."""

    lock_id: str
    title: str
    elements_json: str
    data_json: str
    timeout_s: float
    again: bool = False
    """Whether it was opened before, by this attempt or another."""
    park: bool = False
    """Whether the job does nothing else, and need not be kept for that."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that a job has finished."""

    name: str
    result_json: str
    place: int = 0
    """Counts the steps that its flow takes one after the other; 0 for one that was taken beside others."""
    occurrence: int = 0
    """Of one that was taken beside others: counts those of its name, as they were begun."""
    sealed: bytes = b""
    """Its result, if some of it is secret: the one above has masks then."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """A job in the hands of a host."""

    host_id: str
    epoch: int
    """Counts the leases of the job."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LockEnd:
    """What becomes of a pending lock."""

    lock_id: str
    state: LockState
    at: float = 0.0
    by: str = ""
    result_json: str = ""
    sealed: bytes = b""
    """As in `Lock`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a job is paid for with, as in `mesh.runner.v1.PaymentTerms`."""

    agent_identifier: str
    network: str
    purchaser_identifier: str
    input_hash: str
    hashes: str = ""
    """How the result is hashed: empty for MIP-004, or `kodosumi`."""


class Role(enum.StrEnum):
    """Who says something in a conversation."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something that was said in a conversation; whatever becomes of the conversation, the job goes on."""

    conversation: str
    """`conversations/{id}`."""
    role: Role
    content: str
    job_id: str
    at: float


class Layer(enum.StrEnum):
    """What kind of memory a record is of."""

    SHORT = "short"
    LONG = "long"
    EPISODIC = "episodic"
    PROCEDURAL = "procedural"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One thing that is remembered; `number` is 0 until the store has numbered it."""

    owner: str
    """`users/{uuid}`."""
    scope: str
    """`agents/{id}` or `crews/{id}`."""
    layer: Layer
    content: str
    type: str = "fact"
    category: str = ""
    importance: float = 0.5
    job_id: str = ""
    """Of the job that wrote it; empty if it was added by hand."""
    created_at: float
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a rule decides: the job as it shall be (`last_seq` is the store's), events to append, locks to change."""

    job: Job
    events: tuple[Event, ...] = ()
    opened: tuple[Lock, ...] = ()
    ended: tuple[LockEnd, ...] = ()
    said: tuple[Said, ...] = ()
    remembered: tuple[Memory, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a job ends."""

    state: State
    reason: Reason = Reason.NONE
    error: str = ""
    detail: str = ""
    result_json: str = ""
    error_types: tuple[str, ...] = ()
    """The classes of the exception, its own first; empty for one that no policy of retries is about."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A job to keep, with the head of its log."""

    job: Job
    events: tuple[Event, ...] = ()
    said: tuple[Said, ...] = ()
    brief: bytes = b""
    """What an agent's or crew's job runs: an encoded `Run` with its definition and budget; opaque here."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlacedApp:
    """An app that shall be served: what an operator deployed last for an expose."""

    expose: str
    import_path: str
    runtime_env_json: str
    deployments_json: str
    fork: bool
    isolation: Isolation | None = None
    """For all its flows, in place of what their author declared."""
    bounds: bytes = b""
    """How much its jobs may take, and what they may reach: an encoded `Bounds`; opaque here."""
    host_ids: tuple[str, ...] = ()
    """Of its hosts, by replica."""
    sealed: bytes = b""
    """Its `runtime_env`, if that has `env_vars`: what is kept has masks in their place."""
