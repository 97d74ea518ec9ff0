"""Flows as callers see them: what the author declared, under what the operator wrote over it."""

import bisect
import collections
import dataclasses
from collections.abc import Iterable, Sequence

from meshkit import paging
from meshkit.errors import NotFound
from services.registry import documents
from services.registry.domain import Expose, Snapshot, State, flow_url, same_url, standing


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

    def matches(self, query: str) -> bool:
        """Return whether `query` (case-folded) is in any of its texts."""
        texts = (self.summary, self.description, self.author or "", self.organization or "", *self.tags)
        return any(query in text.casefold() for text in texts)


def flow_name(expose: str, path: str) -> str:
    """Return the resource name of a flow."""
    return f"flows/{expose}/{path.strip('/')}".rstrip("/")


def flows_of(expose: Expose, snapshot: Snapshot) -> list[Flow]:
    """Return the flows of an expose, without those whose meta is disabled.

    What the meta gives stands over what the author gave, field by field.
    """
    state = standing(expose, snapshot).state
    entries = {same_url(entry.url): entry for entry in expose.meta or ()}
    flows = []
    for found in expose.flows:
        url = flow_url(expose.name, found.path)
        entry = entries.get(same_url(url))
        if entry is not None and not entry.enabled:
            continue
        about = documents.about(entry.data) if entry is not None else documents.About()
        tags = about.tags if about.tags is not None else found.tags
        flows.append(
            Flow(
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
                alive=found.alive and state is State.RUNNING,
                method=found.method,
                state=state,
            )
        )
    return flows


def listed(exposes: Iterable[Expose], snapshot: Snapshot) -> list[Flow]:
    """Return the flows of enabled, running exposes by summary, then name."""
    flows = [
        flow
        for expose in exposes
        if expose.enabled
        for flow in flows_of(expose, snapshot)
        if flow.state is State.RUNNING
    ]
    return sorted(flows, key=lambda flow: (flow.summary, flow.name))


def find(expose: Expose, snapshot: Snapshot, name: str) -> Flow:
    """Return the flow of that name, or raise `NotFound`."""
    if expose.enabled:
        for flow in flows_of(expose, snapshot):
            if flow.name == name:
                return flow
    raise missing(name)


def missing(name: str) -> NotFound:
    """Return the error for a flow that does not exist or is not offered."""
    return NotFound(f"Flow '{name.removeprefix('flows/')}' not found", resource=name)


def page(flows: Sequence[Flow], query: str, page_size: int, page_token: str) -> tuple[list[Flow], str]:
    """Return one page of the flows that match `query`, and the token of the next one, empty on the last.

    `flows` must be sorted by summary, then name.  The token holds the last flow's name and summary, so that a page
    follows on although that flow is gone.  (A token made of the name alone, which callers cannot get from us but other
    services of the mesh can make, works while the flow exists; after that the list starts over.)
    """
    query = query.strip()
    size = paging.size(page_size)
    after, _, summary = paging.decode(page_token, query).partition("\n")
    wanted = query.casefold()
    matching = [flow for flow in flows if not wanted or flow.matches(wanted)]
    if after:
        known = next((flow for flow in flows if flow.name == after), None)
        last = (summary, after) if summary or known is None else (known.summary, after)
        start = bisect.bisect_right([(flow.summary, flow.name) for flow in matching], last)
        matching = matching[start:]
    items = matching[:size]
    more = len(matching) > size
    return items, paging.encode(f"{items[-1].name}\n{items[-1].summary}", query) if more else ""


def count_tags(flows: Iterable[Flow]) -> dict[str, int]:
    """Return how many flows carry each tag, by tag."""
    counts = collections.Counter(tag for flow in flows for tag in flow.tags)
    return dict(sorted(counts.items()))
