"""Flows, as callers may use them."""

import bisect
from collections.abc import Sequence

from meshkit import paging
from meshkit.errors import NotFound
from services.registry import documents
from services.registry.domain import flows
from services.registry.domain.flows import Flow
from services.registry.ports.exposes import ExposeStore
from services.registry.standings import Standings


class Flows:
    """Lists the flows of exposes."""

    def __init__(self, store: ExposeStore, apps: Standings) -> None:
        self._store = store
        self._apps = apps

    async def get(self, name: str) -> Flow:
        """Return the flow `flows/{expose}[/{path}]`, or raise `NotFound`."""
        expose, _, path = name.removeprefix("flows/").partition("/")
        try:
            stored = await self._store.get(expose)
        except NotFound:
            raise flows.missing(name) from None
        return flows.find(stored, await self._apps.current(), documents.about, flows.flow_name(expose, path))

    async def listed(self) -> list[Flow]:
        """Return the enabled flows of enabled exposes that serve, by summary, then name."""
        return flows.listed(await self._store.select(), await self._apps.current(), documents.about)


def _weight(flow: Flow) -> int:
    return paging.weight(flow) - paging.weight((flow.elements_json, flow.input_schema_json))


def page(listed: Sequence[Flow], query: str, page_size: int, page_token: str) -> tuple[list[Flow], str]:
    """Return one page of the flows that match `query`, and the token of the next one, empty on the last.

    `listed` must be sorted by summary, then name.  The token holds the last flow's name and summary, so that a page
    follows on although that flow is gone.  (A token made of the name alone, which callers cannot get from us but other
    services of the mesh can make, works while the flow exists; after that the list starts over.)
    """
    query = query.strip()
    size = paging.size(page_size)
    after, _, summary = paging.decode(page_token, query).partition("\n")
    wanted = query.casefold()
    matching = [flow for flow in listed if not wanted or flow.matches(wanted)]
    if after:
        known = next((flow for flow in listed if flow.name == after), None)
        last = (summary, after) if summary or known is None else known.sort_key
        matching = matching[bisect.bisect_right([flow.sort_key for flow in matching], last) :]
    # A list has no forms, which are most of a flow.
    items = paging.full(matching[:size], _weight)
    more = len(matching) > len(items)
    return items, paging.encode(f"{items[-1].name}\n{items[-1].summary}", query) if more else ""
