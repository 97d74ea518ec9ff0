"""Exposes: what an operator defined, what the last boot found, and what follows from both.

An expose carries three kinds of facts.  Its *definition* is saved by people and owns the etag.  What the last boot
*found* (the flows, whether they answered, why the app would not start) is written by boots and leaves the etag alone.
Where its app *stands* is known to the runner only, is asked for at read time, and is never stored
(`services.registry.domain.standings`).
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping, Sequence

from meshkit.errors import AlreadyExists, Conflict, Invalid, NotFound

NETWORKS = ("Preprod", "Mainnet")
ALIVE = "alive"
DEAD = "dead"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NAME_MAX = 100
_DISPLAY_MAX = 200
_URL_MAX = 500
_META_MAX = 2000
ENGINE = "agents"
"""The name of the mesh's own app, which runs agents and crews; the runner places it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowMeta:
    """What an operator says about one flow."""

    url: str
    """`/{expose}/` for the root flow, else `/{expose}/{path}`; a trailing slash makes no difference."""
    data: str = ""
    """YAML, or empty."""
    enabled: bool = True
    state: str = ""
    """`alive` or `dead` since a boot, empty before."""
    heartbeat_at: datetime.datetime | None = None
    seen: str = ""
    """What its flow answered when it was last asked, see `Probe.seen`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FoundFlow:
    """A flow as its author declared it and a boot found it."""

    path: str
    """Within the app: `/` or `/async`."""
    method: str = "GET"
    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    author: str | None = None
    organization: str | None = None
    version: str | None = None
    deprecated: bool | None = None
    elements_json: str = ""
    """Its form, a JSON array; empty if only the app knows it."""
    input_schema_json: str = ""
    """JSON Schema of its inputs; empty if it declares none."""
    alive: bool = False
    """Whether it answered when it was last asked."""
    seen: str = ""
    """What it answered then, see `Probe.seen`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What came of asking a flow for its form.  404 and 5xx are dead, anything else answers."""

    http_status: int = 0
    error_reason: str = ""
    """Why there is no HTTP status, such as `DEADLINE_EXCEEDED`."""

    @property
    def alive(self) -> bool:
        """Whether the flow answers."""
        return self.http_status not in (0, 404) and self.http_status < 500

    @property
    def seen(self) -> str:
        """The HTTP status as text, or the reason why there is none."""
        return self.error_reason or str(self.http_status)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What somebody saves."""

    name: str
    """The id: `prime`."""
    display_name: str | None = None
    network: str | None = None
    enabled: bool = True
    bootstrap: str = ""
    meta: tuple[FlowMeta, ...] | None = None
    """None if never given, which is not the same as empty."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Definition):
    """An expose as it is kept."""

    created_at: datetime.datetime
    updated_at: datetime.datetime
    flows: tuple[FoundFlow, ...] = ()
    booted_etag: str = ""
    """The etag that the last boot placed; empty if none did, or the app was stopped since."""
    failure: str = ""
    """Why the last boot could not place it; empty if it could."""
    sealed: str = ""
    """Its bootstrap as it was written, if `bootstrap` has masks (`services.registry.bootstraps`)."""

    @property
    def etag(self) -> str:
        """Changes with every save: the time of it in seconds."""
        return repr(self.updated_at.timestamp())

    @property
    def is_draft(self) -> bool:
        """Whether there is nothing to boot yet."""
        return not self.bootstrap.strip()


def missing(name: str) -> NotFound:
    """Return the error for an expose that does not exist."""
    return NotFound(f"Expose '{name}' not found", resource=f"exposes/{name}")


def taken(name: str) -> AlreadyExists:
    """Return the error for a name that is in use."""
    return AlreadyExists(f"Expose '{name}' already exists: choose another name", resource=f"exposes/{name}")


def same_url(url: str) -> str:
    """Return the form in which two urls of one flow are equal: without the trailing slash."""
    return url.rstrip("/")


def flow_url(expose: str, path: str) -> str:
    """Return the meta url of a flow: `/prime/` for path `/`, `/prime/async` for path `/async`."""
    return f"/{expose}/{path.strip('/')}"


def clean_name(name: str, field: str) -> str:
    """Return the id as it is kept, trimmed and lower-cased; raise `Invalid` if it cannot be one."""
    name = name.strip().lower()
    if not _NAME.fullmatch(name) or len(name) > _NAME_MAX:
        raise Invalid(
            f"expose name {name[:80]!r} is not valid: it must start with a letter or number and contain only "
            f"lowercase letters, numbers, hyphens, and underscores, {_NAME_MAX} at most",
            {field: ["must match [a-z0-9][a-z0-9_-]*"]},
        )
    return name


def check(definition: Definition) -> None:
    """Raise `Invalid`, naming the field, for what no expose may have.  YAML is checked elsewhere."""
    if definition.name == ENGINE:
        raise Invalid(
            f"{ENGINE} is the mesh's own app, which runs agents and crews", {"expose.name": ["choose another name"]}
        )
    if definition.network is not None and definition.network not in NETWORKS:
        raise Invalid(
            f"network must be one of {', '.join(NETWORKS)}, or absent",
            {"expose.network": [f"got {definition.network[:80]!r}"]},
        )
    if len(definition.display_name or "") > _DISPLAY_MAX:
        raise Invalid("display_name is too long", {"expose.display_name": [f"at most {_DISPLAY_MAX} characters"]})
    meta = definition.meta or ()
    if len(meta) > _META_MAX:
        raise Invalid("meta has too many entries", {"expose.meta": [f"at most {_META_MAX}"]})
    seen: dict[str, int] = {}
    for index, entry in enumerate(meta):
        field = f"expose.meta[{index}].url"
        if not entry.url.strip() or len(entry.url) > _URL_MAX:
            raise Invalid("meta url is missing or too long", {field: [f"give 1 to {_URL_MAX} characters"]})
        first = seen.setdefault(same_url(entry.url), index)
        if first != index:
            raise Invalid(f"meta url {entry.url!r} is given twice", {field: [f"the same as meta[{first}].url"]})


def save(
    wanted: Definition, stored: Expose | None, *, etag: str, original: str, now: datetime.datetime
) -> tuple[Expose, bool]:
    """Return the expose after a save, and whether it is new.

    `stored` is the expose of that name, or of `original` when it is renamed.  Raises `Conflict` if `etag` is given and
    is not the stored one.
    """
    if etag and (stored is None or stored.etag != etag):
        raise Conflict(
            "it was saved by somebody else since you read it: read it again", resource=f"exposes/{wanted.name}"
        )
    fields = {field.name: getattr(wanted, field.name) for field in dataclasses.fields(Definition)}
    if stored is None:
        return Expose(**fields, created_at=now, updated_at=now), True
    # The etag is a time with the precision of a double: a microsecond is told apart until the year 2242.
    updated_at = max(now, stored.updated_at + datetime.timedelta(microseconds=1))
    if original and original != wanted.name:
        # A new name is a new app: nothing runs under it yet.  Its operator's texts move along.
        fields["meta"] = _moved(wanted.meta, original, wanted.name)
        return Expose(**fields, created_at=stored.created_at, updated_at=updated_at), False
    fields["meta"] = _with_known_states(wanted.meta, stored.meta)
    return dataclasses.replace(stored, **fields, updated_at=updated_at), False


def _moved(meta: tuple[FlowMeta, ...] | None, old: str, new: str) -> tuple[FlowMeta, ...] | None:
    def move(entry: FlowMeta) -> FlowMeta:
        head, _, tail = entry.url.strip("/").partition("/")
        url = flow_url(new, tail) if head == old else entry.url
        return dataclasses.replace(entry, url=url, state="", heartbeat_at=None)

    return None if meta is None else tuple(move(entry) for entry in meta)


def _with_known_states(
    wanted: tuple[FlowMeta, ...] | None, stored: tuple[FlowMeta, ...] | None
) -> tuple[FlowMeta, ...] | None:
    """Keep what the last boot saw for entries that are sent back with a state; others start over (seed: notebook)."""
    if wanted is None:
        return None
    known = {same_url(entry.url): entry for entry in stored or ()}

    def settle(entry: FlowMeta) -> FlowMeta:
        before = known.get(same_url(entry.url)) if entry.state else None
        if before is None:
            return dataclasses.replace(entry, state="", heartbeat_at=None)
        return dataclasses.replace(entry, state=before.state, heartbeat_at=before.heartbeat_at)

    return tuple(settle(entry) for entry in wanted)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What a boot made of an expose's meta."""

    meta: tuple[FlowMeta, ...]
    new_count: int
    preserved_count: int


def merge_meta(
    expose: Expose, flows: Sequence[FoundFlow], template: Callable[[FoundFlow], str], at: datetime.datetime
) -> Merge:
    """Bring an expose's meta in line with the flows that were found.

    An entry that belongs to a flow keeps its text and whether it is enabled; a flow without one gets `template`.  A
    text that is the template still follows the author: the operator has said nothing yet that would stand over it.  An
    entry with text but without a flow is kept as dead: it may be the only copy of what the operator wrote.
    """
    entries = {same_url(entry.url): entry for entry in expose.meta or ()}
    made = {same_url(flow_url(expose.name, flow.path)): template(flow) for flow in expose.flows}
    merged: list[FlowMeta] = []
    preserved_count = 0
    for flow in flows:
        url = flow_url(expose.name, flow.path)
        entry = entries.pop(same_url(url), None)
        if entry is None:
            entry = FlowMeta(url=url, data=template(flow))
        else:
            preserved_count += 1
            if entry.data == made.get(same_url(url)):
                entry = dataclasses.replace(entry, data=template(flow))
        merged.append(_seen(entry, flow, at))
    for entry in entries.values():
        if entry.data.strip():
            merged.append(dataclasses.replace(entry, state=DEAD, heartbeat_at=at, seen=""))
    return Merge(meta=tuple(merged), new_count=len(flows) - preserved_count, preserved_count=preserved_count)


def _seen(entry: FlowMeta, flow: FoundFlow, at: datetime.datetime) -> FlowMeta:
    return dataclasses.replace(entry, state=ALIVE if flow.alive else DEAD, heartbeat_at=at, seen=flow.seen)


def probed(expose: Expose, probes: Mapping[str, Probe], at: datetime.datetime) -> Expose:
    """Return `expose` once flows, by path, have been asked whether they answer; one that is gone changes nothing."""
    flows = tuple(
        dataclasses.replace(flow, alive=probe.alive, seen=probe.seen) if (probe := probes.get(flow.path)) else flow
        for flow in expose.flows
    )
    asked = {same_url(flow_url(expose.name, flow.path)): flow for flow in flows if flow.path in probes}
    meta = expose.meta and tuple(
        _seen(entry, flow, at) if (flow := asked.get(same_url(entry.url))) else entry for entry in expose.meta
    )
    return dataclasses.replace(expose, flows=flows, meta=meta)


def booted(expose: Expose, *, etag: str, flows: Sequence[FoundFlow], meta: tuple[FlowMeta, ...]) -> Expose:
    """Return `expose` after a boot placed its definition `etag` and found `flows`."""
    return dataclasses.replace(expose, booted_etag=etag, failure="", flows=tuple(flows), meta=meta)


def stopped(expose: Expose, at: datetime.datetime, failure: str = "") -> Expose:
    """Return `expose` once its app does not run: stopped, or (with a `failure`) not able to start."""
    meta = expose.meta
    if meta is not None:
        meta = tuple(
            dataclasses.replace(entry, state=DEAD, heartbeat_at=at, seen="")
            if failure or entry.state == ALIVE
            else entry
            for entry in meta
        )
    flows = tuple(dataclasses.replace(flow, alive=False) for flow in expose.flows)
    return dataclasses.replace(expose, booted_etag="", failure=failure, flows=flows, meta=meta)
