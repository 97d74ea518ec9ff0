"""Tools: those that come with the mesh, and those kept for their owners."""

import asyncio
import datetime
from collections.abc import Callable, Sequence

import structlog

from meshkit import uuids
from meshkit.errors import Invalid
from meshkit.idempotency import Request, once
from meshkit.inputs.schema import compile_schema
from meshkit.net import addresses
from meshkit.principal import caller
from meshkit.secrets import Secret
from services.registry import definition_rows as rows
from services.registry.catalogue import keeping
from services.registry.catalogue.keeping import Keeper
from services.registry.domain import tools
from services.registry.domain.records import missing
from services.registry.domain.tools import AUTH_TOKEN, BUILTINS, Tool, ToolDraft
from services.registry.ports.definitions import DefinitionStore, Transaction

log = structlog.get_logger()


class Tools:
    """Keeps tools.  Every method raises `NotFound` for what the caller may not see."""

    def __init__(
        self,
        store: DefinitionStore,
        keeper: Keeper,
        now: Callable[[], datetime.datetime],
        *,
        private_endpoints: bool,
    ) -> None:
        """`private_endpoints` says whether a tool may be at an address that is not the Internet's."""
        self._store = store
        self._keeper = keeper
        self._now = now
        self._private = private_endpoints

    async def create(self, draft: ToolDraft, token: Secret | None, request: Request | None) -> Tool:
        """Add a tool; the same `request` again returns what it was then.

        Raises `Invalid` with the fields, also for an endpoint that the mesh will not call, and `AlreadyExists` if its
        name is taken.
        """
        owner = keeping.own()
        tools.check(draft, has_token=bool(token))
        self._keeper.check("tool.auth_token", token)
        self._check_endpoint(draft.endpoint)
        await asyncio.to_thread(_check_schema, draft.input_schema_json)

        def work(tx: Transaction) -> Tool:
            tool = tools.create(draft, tool_id=uuids.make(), owner=owner, has_token=bool(token), now=self._now())
            tx.put(tool)
            self._keeper.keep(tx, tool.name, AUTH_TOKEN, token, had=False)
            tx.keep_request(request and request.answered(rows.dump(tool).encode()))
            return tool

        async def make() -> bytes:
            tool = await self._store.write(work)
            log.info("tool added", tool=tool.name, by=owner)
            return rows.dump(tool).encode()

        return rows.load(Tool, await once(self._store, request, make))

    async def get(self, handle: str) -> Tool:
        """Return a tool by its id, archived or not, or by its name."""
        seen_by, asks = keeping.scope(), caller().user
        return await self._store.read(lambda tx: _look(tx, handle, seen_by, asks))

    async def select(
        self, owner: str | None, standings: Sequence[str], after: str, limit: int
    ) -> tuple[list[Tool], bool]:
        """Return those that come with the mesh, then the others, newest first, and whether there are more.

        `after` is the id of the last one of the page before.
        """
        builtin = list(BUILTINS.values())
        if after in BUILTINS:
            builtin = builtin[list(BUILTINS).index(after) + 1 :]
        elif after:
            builtin = []
        if len(builtin) >= limit:
            more = len(builtin) > limit or await self.count(owner, standings) > len(BUILTINS)
            return builtin[:limit], more
        before = "" if after in BUILTINS else after
        found, more = await self._store.read(lambda tx: tx.select(Tool, owner, standings, before, limit - len(builtin)))
        return [*builtin, *found], more

    async def count(self, owner: str | None, standings: Sequence[str]) -> int:
        """Return how many there are, with those that come with the mesh."""
        return len(BUILTINS) + await self._store.read(lambda tx: tx.count(Tool, owner, standings))

    async def update(
        self, handle: str, wanted: Callable[[Tool], ToolDraft], *, etag: str, token: Secret | None
    ) -> Tool:
        """Change a tool to what `wanted` makes of it; the token stays if it is None, unless it would go elsewhere.

        Raises `Invalid` with the fields, `Conflict` if `etag` is old, `Denied` for what comes with the mesh.
        """
        seen_by, asks = keeping.scope(), caller().user
        self._keeper.check("tool.auth_token", token)
        # Looked at before the write: a schema takes longer to compile than a transaction should last.
        before = await self._store.read(lambda tx: _look_own(tx, handle, seen_by, asks))
        after = wanted(before)
        tools.check(after, has_token=False)
        if after.endpoint != before.endpoint:
            self._check_endpoint(after.endpoint)
        if after.input_schema_json != before.input_schema_json:
            await asyncio.to_thread(_check_schema, after.input_schema_json)

        def work(tx: Transaction) -> Tool:
            stored = _look_own(tx, handle, seen_by, asks)
            draft = wanted(stored)
            secret = keeping.given(token, stored.endpoint, draft.endpoint)
            has_token = None if secret is None else bool(secret)
            tool = tools.update(stored, draft, etag=etag, token=has_token, now=self._now())
            self._keeper.keep(tx, tool.name, AUTH_TOKEN, secret, had=stored.has_auth_token)
            if stored.has_auth_token and not tool.has_auth_token:
                tx.forget_secret(tool.name, AUTH_TOKEN)
            tx.put(tool)
            return tool

        return await self._changed(work, "tool changed")

    async def delete(self, handle: str) -> Tool:
        """Archive a tool, and forget its token; raise `Denied` for what comes with the mesh."""
        seen_by, asks = keeping.scope(), caller().user

        def work(tx: Transaction) -> Tool:
            tool = tools.archive(_look_own(tx, handle, seen_by, asks), self._now())
            tx.forget_secret(tool.name, AUTH_TOKEN)
            tx.put(tool)
            return tool

        return await self._changed(work, "tool archived")

    async def _changed(self, work: Callable[[Transaction], Tool], what: str) -> Tool:
        tool = await self._store.write(work)
        log.info(what, tool=tool.name, by=caller().user)
        return tool

    def _check_endpoint(self, endpoint: str) -> None:
        if problem := addresses.url_problem(endpoint, private=self._private):
            raise Invalid(f"the mesh will not call this endpoint: {problem}", {"tool.endpoint": [problem]})


def _look(tx: Transaction, handle: str, seen_by: str | None, owner: str) -> Tool:
    return BUILTINS.get(handle) or keeping.look(tx, Tool, handle, seen_by, owner)


def _look_own(tx: Transaction, handle: str, seen_by: str | None, owner: str) -> Tool:
    tool = _look(tx, handle, seen_by, owner)
    tools.check_own(tool)
    if tool.deleted_at is not None:
        raise missing(f"tools/{handle}")
    return tool


def _check_schema(text: str) -> None:
    if text:
        try:
            compile_schema(text)
        except Invalid as error:
            raise Invalid(str(error), {"tool.input_schema_json": [str(error)]}) from None
