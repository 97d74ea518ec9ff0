"""Flows as callers see them: what the author declared, under what the operator wrote over it."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

from meshkit.errors import NotFound
from services.registry.domain.exposes import Expose, FlowMeta, FoundFlow, flow_url, same_url
from services.registry.domain.prices import Amount, Pricing, pricing
from services.registry.domain.standings import Snapshot, State, standing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a meta text says about its flow; None where it says nothing."""

    display: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    author: str | None = None
    organization: str | None = None
    agent_identifier: str | None = None
    amounts: tuple[Amount, ...] = ()
    public: bool | None = None


Read = Callable[[str], About]
"""Reads a meta text."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One callable entry of an expose."""

    name: str
    """`flows/{expose}` for the root flow, else `flows/{expose}/{path}`."""
    expose: str
    """The expose's id."""
    path: str
    url: str
    summary: str
    description: str
    tags: tuple[str, ...]
    author: str | None
    organization: str | None
    version: str | None
    deprecated: bool | None
    meta_yaml: str
    network: str | None
    alive: bool
    method: str
    state: State
    enabled: bool
    """Whether its meta is; one that is not is not offered."""
    pricing: Pricing | None
    elements_json: str
    input_schema_json: str
    public: bool
    """Whether anybody may run it, without a login."""

    @property
    def sort_key(self) -> tuple[str, str]:
        """The place in a list: by summary, then name."""
        return self.summary, self.name

    def matches(self, query: str) -> bool:
        """Return whether `query` (case-folded) is in any of its texts."""
        texts = (self.summary, self.description, self.author or "", self.organization or "", *self.tags)
        return any(query in text.casefold() for text in texts)


def flow_name(expose: str, path: str) -> str:
    """Return the resource name of a flow."""
    return f"flows/{expose}/{path.strip('/')}".rstrip("/")


def missing(name: str) -> NotFound:
    """Return the error for a flow that does not exist or is not offered."""
    return NotFound(f"Flow '{name.removeprefix('flows/')}' not found", resource=name)


def flows_of(expose: Expose, snapshot: Snapshot, read: Read) -> Iterator[Flow]:
    """Yield the flows of an expose, those whose meta is disabled too."""
    state = standing(expose, snapshot).state
    entries = {same_url(entry.url): entry for entry in expose.meta or ()}
    for found in expose.flows:
        url = flow_url(expose.name, found.path)
        yield _flow(expose, found, url, entries.get(same_url(url)), state, read)


def _flow(expose: Expose, found: FoundFlow, url: str, entry: FlowMeta | None, state: State, read: Read) -> Flow:
    """What the meta gives stands over what the author gave, field by field."""
    about = read(entry.data) if entry is not None else About()
    tags = about.tags if about.tags is not None else found.tags
    return Flow(
        name=flow_name(expose.name, found.path),
        expose=expose.name,
        path=found.path,
        url=url,
        summary=about.display or found.summary,
        description=about.description or found.description,
        tags=tuple(sorted(set(tags))),
        author=about.author or found.author,
        organization=about.organization or found.organization,
        version=found.version,
        deprecated=found.deprecated,
        meta_yaml=entry.data if entry is not None else "",
        network=expose.network,
        alive=found.alive and state.serves,
        method=found.method,
        state=state,
        enabled=entry is None or entry.enabled,
        pricing=pricing(about.agent_identifier, about.amounts, expose.network),
        elements_json=found.elements_json,
        input_schema_json=found.input_schema_json,
        public=bool(about.agent_identifier) if about.public is None else about.public,
    )


def known(exposes: Iterable[Expose], snapshot: Snapshot, read: Read) -> dict[str, Flow]:
    """Return every flow of enabled exposes, by name."""
    return {flow.name: flow for expose in exposes if expose.enabled for flow in flows_of(expose, snapshot, read)}


def listed(exposes: Iterable[Expose], snapshot: Snapshot, read: Read) -> list[Flow]:
    """Return the enabled flows of enabled exposes that serve, by summary, then name."""
    flows = known(exposes, snapshot, read).values()
    return sorted((flow for flow in flows if flow.enabled and flow.state.serves), key=lambda flow: flow.sort_key)


def find(expose: Expose, snapshot: Snapshot, read: Read, name: str) -> Flow:
    """Return the flow of that name, or raise `NotFound`."""
    flow = known((expose,), snapshot, read).get(name)
    if flow is None or not flow.enabled:
        raise missing(name)
    return flow


def count_tags(flows: Iterable[Flow]) -> dict[str, int]:
    """Return how many flows carry each tag, by tag."""
    counts = collections.Counter(tag for flow in flows for tag in flow.tags)
    return dict(sorted(counts.items()))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What somebody who knows an older catalogue must be told."""

    changed: tuple[Flow, ...] = ()
    """New or different, by name."""
    removed: tuple[str, ...] = ()
    """Names, sorted."""

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


def changes(before: Mapping[str, Flow], after: Mapping[str, Flow]) -> Changes:
    """Return what is different in `after`, both by name."""
    return Changes(
        changed=tuple(after[name] for name in sorted(after) if before.get(name) != after[name]),
        removed=tuple(sorted(before.keys() - after.keys())),
    )
