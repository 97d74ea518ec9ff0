"""The runner's service of memory.  Unpack, call, pack."""

import re
from collections.abc import Callable

from agentmesh_protos.runner.v1 import memory_pb2, memory_pb2_grpc

from meshkit import idempotency, paging
from meshkit.errors import Denied, Invalid, NotFound
from meshkit.interceptors import Context
from meshkit.principal import caller
from services.runner.callers.requests import Requests
from services.runner.callers.shares import Shares
from services.runner.domain import Layer, Memory, memories
from services.runner.ports.store import MemoryRecords
from services.runner.shapes import FROM_LAYERS, hit_to_pb, record_to_pb

_SCOPE = re.compile(r"(agents|crews)/[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_HITS = 5
_HITS_MAX = 50


class MemoryServicer(memory_pb2_grpc.MemoryServiceServicer):
    """Memory.  Owner and scope are part of each question; the store has no way around them."""

    def __init__(self, store: MemoryRecords, requests: Requests, shares: Shares, now: Callable[[], float]) -> None:
        self._store = store
        self._shares = shares
        self._requests = requests
        self._now = now

    async def ListMemoryRecords(
        self, request: memory_pb2.ListMemoryRecordsRequest, context: Context
    ) -> memory_pb2.ListMemoryRecordsResponse:
        """Return a page of records, newest first.  Raises `Invalid`, `Denied`."""
        owner, scope, layer = _owner(request.owner), _scope(request.scope), FROM_LAYERS.get(request.layer)

        async def fetch(after: str, limit: int) -> list[Memory]:
            return await self._store.find(owner, scope, layer, paging.number(after), limit)

        page = await paging.page(request, fetch, lambda record: str(record.number), owner, scope, layer or "")
        return memory_pb2.ListMemoryRecordsResponse(
            records=map(record_to_pb, page.items), next_page_token=page.next_token
        )

    async def SearchMemory(
        self, request: memory_pb2.SearchMemoryRequest, context: Context
    ) -> memory_pb2.SearchMemoryResponse:
        """Return what fits a query best.  Raises `Invalid`, `Denied`."""
        if len(request.query) > memories.CONTENT_CHARS_MAX or not request.query.strip():
            remedy = f"1 to {memories.CONTENT_CHARS_MAX} characters"
            raise Invalid("the query is empty or too long", {"query": [remedy]})
        limit = min(paging.size(request.page_size) if request.page_size else _HITS, _HITS_MAX)
        owner, layer = _owner(request.owner), FROM_LAYERS.get(request.layer)
        hits = await self._store.search(owner, _scope(request.scope), layer, request.query, limit)
        return memory_pb2.SearchMemoryResponse(hits=map(hit_to_pb, hits))

    async def CreateMemoryRecord(
        self, request: memory_pb2.CreateMemoryRecordRequest, context: Context
    ) -> memory_pb2.MemoryRecord:
        """Add a record by hand.  Raises `Invalid`, `Denied`, and `Exhausted` if its owner keeps too much."""
        record = _record(request.record, self._now())
        asked = idempotency.ask(request)
        async with self._requests.one_at_a_time(asked):
            if asked is not None and (known := await self._requests.known(asked)) is not None:
                found = await self._store.get(record.owner, int(known))
                if found is None:
                    raise NotFound("the record was cleared since", resource=f"memoryRecords/{int(known)}")
                return record_to_pb(found)
            await self._shares.check_stored(record.owner)
            return record_to_pb(await self._store.add(record, asked))

    async def ClearMemory(
        self, request: memory_pb2.ClearMemoryRequest, context: Context
    ) -> memory_pb2.ClearMemoryResponse:
        """Delete records for good; say how many.  Raises `Invalid`, `Denied`."""
        layer = FROM_LAYERS.get(request.layer)
        count = await self._store.clear(_owner(request.owner), _scope(request.scope), layer)
        return memory_pb2.ClearMemoryResponse(deleted_count=count)


def _owner(asked: str) -> str:
    """Return whose records are meant: the caller's, or those of the owner that an operator names."""
    user = caller().user
    if asked and asked != user and not caller().sees_all:
        raise Denied("only operators may ask for the memory of others")
    if not (asked or user):
        raise Invalid("owner is missing", {"owner": ["a service must say whose memory it wants"]})
    return asked or user


def _scope(scope: str) -> str:
    if not _SCOPE.fullmatch(scope):
        raise Invalid("scope is no agent and no crew", {"scope": ["must look like agents/{id} or crews/{id}"]})
    return scope


def _record(asked: memory_pb2.MemoryRecord, now: float) -> Memory:
    wrong = {}
    layer = FROM_LAYERS.get(asked.layer, Layer.SHORT)
    if asked.layer not in FROM_LAYERS:
        wrong["record.layer"] = ["must be a layer, not UNSPECIFIED"]
    if not asked.content.strip() or len(asked.content) > memories.CONTENT_CHARS_MAX or "\0" in asked.content:
        wrong["record.content"] = [f"1 to {memories.CONTENT_CHARS_MAX} characters, without NUL"]
    if asked.type not in ("", *memories.TYPES):
        wrong["record.type"] = [f"one of {', '.join(memories.TYPES)}"]
    if len(asked.category) > memories.CATEGORY_CHARS_MAX:
        wrong["record.category"] = [f"at most {memories.CATEGORY_CHARS_MAX} characters"]
    if not 0 <= asked.importance <= 1:
        wrong["record.importance"] = ["0 to 1"]
    if wrong:
        raise Invalid("the record cannot be kept", wrong)
    return Memory(
        owner=_owner(asked.owner),
        scope=_scope(asked.scope),
        layer=layer,
        content=asked.content,
        type=asked.type or "fact",
        category=asked.category,
        importance=asked.importance,
        created_at=now,
    )
