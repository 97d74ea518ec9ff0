"""What calls on the mesh return: plain frozen records, made from the protos."""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf import duration_pb2, timestamp_pb2
from google.protobuf.message import Message

ENDED = frozenset({"succeeded", "failed", "cancelled"})
"""The states a job does not leave."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A sign-in."""

    access_token: str = dataclasses.field(repr=False)
    refresh_token: str = dataclasses.field(default="", repr=False)
    """Single-use; empty if the access token cannot be renewed."""
    expires_at: float = 0.0
    """When the access token stops working, in seconds since 1970; 0 if not known."""
    login: str = ""
    """Who signed in."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Something that can be run."""

    name: str
    """`flows/{expose}` or `flows/{expose}/{path}`."""
    summary: str
    description: str
    tags: tuple[str, ...]
    author: str | None
    organization: str | None
    version: str | None
    alive: bool
    """Whether it answered the last check."""
    expose: str
    """The id of its expose."""
    path: str
    """Within the app: `/` or `/async`."""
    price: str = ""
    """What a job costs, for people: `1.5 ADA (Preprod)`; empty if it costs nothing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a job has consumed."""

    input_tokens: int
    output_tokens: int
    cost_micros: int
    """In millionths of the operator's currency."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a target: a flow, an agent or a crew."""

    name: str
    """`jobs/{id}`."""
    flow: str
    """The flow that runs."""
    owner: str
    """`users/{uuid}`."""
    state: str
    """`queued`, `running`, `succeeded`, `failed`, `cancelled` and so on."""
    reason: str
    """Why it waits or ended, such as `timeout`; empty if there is nothing to explain."""
    error: str
    """What went wrong; empty if nothing did."""
    result: Any
    """What the flow returned: an object whose one key names the type, such as `{"Markdown": {"body": ...}}`."""
    inputs: dict[str, Any]
    create_time: datetime.datetime | None
    start_time: datetime.datetime | None
    finish_time: datetime.datetime | None
    last_seq: int
    """The number of its last event."""
    locks: tuple[str, ...] = ()
    """The locks that it waits on: `jobs/{job}/locks/{lock}`."""
    payment: str = ""
    """`payments/{id}` if it is paid for."""
    target: str = ""
    """What was asked for: `flows/…`, `agents/…` or `crews/…`."""
    progress: float | None = None
    """In percent; None if its flow has not said."""
    progress_text: str = ""
    usage: Usage | None = None
    """None if its flow has not said."""
    attempt: int = 0
    """How often it was started."""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    conversation: str = ""

    @property
    def id(self) -> str:
        """24 hex digits."""
        return self.name.removeprefix("jobs/")

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it ended with a result."""
        return self.state == "succeeded"

    @property
    def text(self) -> str:
        """The result as text; empty if there is none."""
        return readable(self.result)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One numbered line of a job's log."""

    seq: int
    """From 1, without gaps."""
    kind: str
    """status, inputs, meta, result, action, debug, stdout, stderr, progress, usage, error, final and so on."""
    time: float
    """When it was emitted, in seconds since 1970."""
    payload: str
    """Text, or JSON."""
    detail: str = ""
    """For operators: an error's traceback."""

    @property
    def text(self) -> str:
        """The payload as people read it."""
        if self.kind in ("status", "debug", "stdout", "stderr", "error"):
            return self.payload
        value = parsed(self.payload)
        if self.kind == "progress" and isinstance(value, dict):
            return _progress(value)
        return readable(value)

    @property
    def last(self) -> bool:
        """Whether the log ends here."""
        return self.kind == "status" and self.payload in ENDED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expose:
    """A deployed app, as operators see it."""

    name: str
    """Its id."""
    display_name: str
    enabled: bool
    bootstrap: str
    """YAML with `import_path`."""
    state: str
    """draft, dead, deploying, running, deploy_failed, unhealthy, or outdated: the version before serves."""
    message: str
    """Why, if what was saved last does not run."""
    flow_count: int
    alive_count: int
    needs_reboot: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BootStep:
    """Something that happened in a boot."""

    kind: str
    """step_start, step_end, activity, result, info, warning, complete or error."""
    fact: str
    """What happened: `app_settled`, `flow_checked`, ... as in the contract's `BootEvent`."""
    expose: str
    """The id of the expose it is about; empty if of none."""
    details: Mapping[str, Any]
    """The fact's other fields: states in lower case, durations in seconds (`load_time_s`), counts under `counts`."""
    time: datetime.datetime | None

    @property
    def message(self) -> str:
        """Why, for people to read; empty if nothing is wrong."""
        return str(self.details.get("message", ""))


def readable(value: Any) -> str:
    """Return a typed value, such as `{"Markdown": {"body": "hi"}}`, as people read it."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, inner),) = value.items()
        if kind in ("Markdown", "HTML", "Text") and isinstance(inner, dict) and isinstance(inner.get("body"), str):
            return str(inner["body"])
        if kind in ("CrewOutput", "TaskOutput") and isinstance(inner, dict) and isinstance(inner.get("raw"), str):
            return str(inner["raw"])
        if kind in ("Link", "Image", "Video") and isinstance(inner, dict) and isinstance(inner.get("url"), str):
            return _address(kind, inner)
        if kind == "__list__" and isinstance(inner, list):
            return "\n\n".join(map(readable, inner))
        if kind == "Table" and isinstance(inner, dict) and isinstance(inner.get("rows"), list):
            return _table(inner)
        if kind in ("str", "int", "float", "bool", "dict", "list", "NoneType"):
            value = inner
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _address(kind: str, value: Mapping[str, Any]) -> str:
    """Return where something is; of what is within the address itself only what it is."""
    url = str(value["url"])
    if not url.startswith("data:"):
        return url
    alt = f": {value['alt']}" if value.get("alt") else ""
    return f"[{kind}, {url[5:].partition(';')[0]}, {len(url)} characters{alt}]"


def _table(value: Mapping[str, Any]) -> str:
    """Return a table as lines, its cells apart by tabs."""
    lines = [value.get("columns") or [], *value["rows"]]
    texts = ["\t".join("" if cell is None else str(cell) for cell in line) for line in lines if isinstance(line, list)]
    more = value.get("more")
    return "\n".join([*texts, *([f"… {more} more rows"] if more else [])])


def _progress(value: dict[str, Any]) -> str:
    """Return what a `progress` event says, such as `30 % reading`."""
    percent, done, total = value.get("percent"), value.get("done"), value.get("total")
    number = f"{percent:g} %" if isinstance(percent, int | float) else ""
    counts = f"{done}/{total}" if done is not None and total is not None else "" if done is None else str(done)
    text = str(value.get("text") or "")
    return " ".join(part for part in (number, counts if not text else "", text) if part)


def to_tokens(message: auth_pb2.Tokens) -> Tokens:
    """Return the record of a sign-in."""
    return Tokens(
        access_token=message.access_token,
        refresh_token=message.refresh_token,
        expires_at=message.expire_time.seconds + message.expire_time.nanos / 1e9,
        login=message.user.login,
    )


def to_flow(message: registry_pb2.Flow) -> Flow:
    """Return the record of a flow."""
    return Flow(
        name=message.name,
        summary=message.summary,
        description=message.description,
        tags=tuple(message.tags),
        author=_optional(message, "author"),
        organization=_optional(message, "organization"),
        version=_optional(message, "version"),
        alive=message.alive,
        expose=message.expose.removeprefix("exposes/"),
        path=message.path,
        price=_price(message.pricing) if message.HasField("pricing") else "",
    )


def _price(pricing: registry_pb2.Pricing) -> str:
    """Return a price as the panel has it: `10 ADA (Preprod)`; lovelace are shown as the ADA they are millionths of."""
    amounts = [_amount(item.amount, item.unit) for item in pricing.amounts]
    return f"{' + '.join(amounts) or 'what its seller asks'} ({pricing.network})"


def _amount(amount: str, unit: str) -> str:
    if unit in ("", "lovelace") and amount.isdecimal():
        whole, rest = divmod(int(amount), 1_000_000)
        return f"{whole}{f'.{rest:06}'.rstrip('0') if rest else ''} ADA"
    return f"{amount} {unit}"


def to_job(message: job_pb2.Job) -> Job:
    """Return the record of a job."""
    return Job(
        name=message.name,
        flow=message.flow,
        owner=message.owner,
        state=word(job_pb2.JobState, message.state, "JOB_STATE_"),
        reason=word(job_pb2.JobReason, message.reason, "JOB_REASON_"),
        error=message.error,
        result=parsed(message.result_json),
        inputs=parsed(message.inputs_json) or {},
        create_time=moment(message, "create_time"),
        start_time=moment(message, "start_time"),
        finish_time=moment(message, "finish_time"),
        last_seq=message.last_seq,
        locks=tuple(message.locks),
        payment=message.payment,
        target=message.target,
        progress=message.progress.percent if message.HasField("progress") else None,
        progress_text=message.progress.text,
        usage=_usage(message.usage) if message.HasField("usage") else None,
        attempt=message.attempt,
        labels=dict(message.labels),
        conversation=message.conversation,
    )


def _usage(message: job_pb2.Usage) -> Usage:
    return Usage(
        input_tokens=message.input_tokens, output_tokens=message.output_tokens, cost_micros=message.cost_micros
    )


def to_event(message: job_pb2.Event) -> Event:
    """Return the record of an event."""
    return Event(seq=message.seq, kind=message.kind, time=message.time, payload=message.payload, detail=message.detail)


def to_expose(message: registry_pb2.Expose) -> Expose:
    """Return the record of an expose."""
    return Expose(
        name=message.name.removeprefix("exposes/"),
        display_name=message.display_name,
        enabled=message.enabled,
        bootstrap=message.bootstrap,
        state=word(registry_pb2.ExposeState, message.state, "EXPOSE_STATE_"),
        message=message.message,
        flow_count=message.flow_count,
        alive_count=message.alive_count,
        needs_reboot=message.needs_reboot,
    )


def to_boot_step(message: registry_pb2.BootEvent) -> BootStep:
    """Return the record of an event of a boot; a fact that a newer mesh knows has an empty name."""
    fact = message.WhichOneof("fact")
    details = _details(getattr(message, fact)) if fact else {}
    return BootStep(
        kind=word(registry_pb2.BootEvent.Kind, message.kind, "KIND_"),
        fact=fact or "",
        expose=str(details.pop("expose", "")).removeprefix("exposes/"),
        details=details,
        time=moment(message, "time"),
    )


def _details(message: Message) -> dict[str, Any]:
    """Return the fields of a message by name, zeros too; a field that is absent is left out."""
    details: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if isinstance(value, duration_pb2.Duration):
            details[f"{field.name}_s"] = value.ToTimedelta().total_seconds()
        elif isinstance(value, Message):
            details[field.name] = _details(value)
        elif field.enum_type is not None:
            names = field.enum_type.values_by_number
            prefix = names[0].name.removesuffix("UNSPECIFIED")
            details[field.name] = names[value].name.removeprefix(prefix).lower() if value in names else str(value)
        else:
            details[field.name] = list(value) if field.is_repeated else value
    return details


def word(enum: Any, number: int, prefix: str) -> str:
    """Return the name of an enum's value as people read it: without its prefix, in lower case."""
    try:
        word = str(enum.Name(number)).removeprefix(prefix).lower()
    except ValueError:  # a newer mesh knows a state that we do not
        return str(number)
    return "" if word == "unspecified" else word


def _optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def moment(message: Any, field: str) -> datetime.datetime | None:
    """Return a time of a message; None if it is not set."""
    if not message.HasField(field):
        return None
    stamp: timestamp_pb2.Timestamp = getattr(message, field)
    return stamp.ToDatetime(tzinfo=datetime.UTC)


def parsed(text: str) -> Any:
    """Return JSON as a value; a text that is not JSON is itself, an empty one is None."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text
