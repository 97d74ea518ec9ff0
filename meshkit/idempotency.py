"""Creates that may be sent twice (AIP-155): the same request id and body give the same answer, whenever they come.

A caller names its request by an id of its own (`request_id`; `Idempotency-Key` at the edge).  The service keeps a
`Request` under that name in the same transaction as what the request has made, so there is never one without the
other.  `once` frames a create: it answers a repeated one with what was kept, and of any number that come at once the
first to be written is the one that counts.

    asked = ask(request, config.secret)
    answer = await once(store, asked, lambda: make(asked))     # `make` writes the thing, and `asked.answered(bytes)`

An id belongs to its caller and is kept for a day (`KEPT_S`).  A store keeps requests beside its other rows:
`MemoryRequests` and `meshkit.sqlite.requests` do the work for it.
"""

import dataclasses
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from google.protobuf import descriptor_pool

from meshkit.errors import AlreadyExists, Invalid, MeshError
from meshkit.principal import caller

KEPT_S = 24 * 3600
ID_CHARS_MAX = 256
FIELD = "request_id"
KEY_HEADER = "Idempotency-Key"
"""The header in which REST says the id (draft-ietf-httpapi-idempotency-key)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A create that named itself."""

    owner: str
    """Who asked: ids of different callers do not meet."""
    request_id: str
    body_hash: str
    answer: bytes = b""
    """What was answered, in whatever form the service can answer with again."""

    def answered(self, answer: bytes) -> "Request":
        """Return the request with its answer: what is to be written with the effect."""
        return dataclasses.replace(self, answer=answer)


class RequestStore(Protocol):
    """The part of a service's store that `once` needs.  Writing is in the methods that create."""

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return the request of this name that has been carried out, if it is remembered."""


def repeatable(method: str) -> bool:
    """Return whether `/package.Service/Method` takes an id; what the contract does not know takes none."""
    service, _, name = method.lstrip("/").rpartition("/")
    try:
        found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    except KeyError:
        return False
    return FIELD in found.input_type.fields_by_name


def adopt(message: Any, key: str) -> None:
    """Let a message that can be repeated take the id that its request's head says; none, if `key` is empty.

    Raises `Invalid`: for a key that is too long, and, naming both places, for one that is not the message's own id.
    """
    if not key:
        return
    if len(key) > ID_CHARS_MAX:
        raise Invalid("key is too long", {KEY_HEADER: [f"at most {ID_CHARS_MAX} characters"]})
    if message.request_id and message.request_id != key:
        text = f"{FIELD} and the header {KEY_HEADER} differ: send one of them, or the same in both"
        raise Invalid("the request has two ids", {FIELD: [text], KEY_HEADER: [text]})
    message.request_id = key


def ask(message: Any, key: bytes = b"", owner: str = "") -> Request | None:
    """Return the request that a message with a `request_id` makes; `None` if it names itself not.

    `owner` defaults to the caller.  With a `key` nobody who reads the table can try what the body was: for messages
    with a secret in them.  Raises `Invalid`, naming `request_id`, for one that is too long.
    """
    if not message.request_id:
        return None
    body = type(message)()
    body.CopyFrom(message)
    body.ClearField(FIELD)
    return asked(message.request_id, body.SerializeToString(deterministic=True), key=key, owner=owner)


def asked(request_id: str, *body: bytes | str, key: bytes = b"", owner: str = "") -> Request | None:
    """As `ask`, for a body in parts, of which each counts with where it begins and ends."""
    if not request_id:
        return None
    if len(request_id) > ID_CHARS_MAX:
        raise Invalid(f"{FIELD} is too long", {FIELD: [f"at most {ID_CHARS_MAX} characters"]})
    return Request(owner=owner or _caller(), request_id=request_id, body_hash=digest(*body, key=key))


def digest(*parts: bytes | str, key: bytes = b"") -> str:
    """Return the hash of a body in parts: SHA-256 or, with a key, its HMAC."""
    running = hmac.new(key, digestmod=hashlib.sha256)  # an empty key is nobody's secret, and the same every time
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        running.update(len(data).to_bytes(8, "big"))
        running.update(data)
    return running.hexdigest()


async def once(store: RequestStore, request: Request | None, create: Callable[[], Awaitable[bytes]]) -> bytes:
    """Return what `create` answers or, if the same request has been carried out before, what it answered then.

    `create` must write `request.answered(...)` in the transaction of its effect, which raises `AlreadyExists` if it is
    there already.  Raises `Invalid`, naming `request_id`, if the id was used with another body.
    """
    if request is None:
        return await create()
    if (known := await known_answer(store, request)) is not None:
        return known
    try:
        return await create()
    except MeshError:
        # Whatever was refused (the id, a name that is taken now): if the same request has come first, it is why.
        if (known := await known_answer(store, request)) is None:
            raise
        return known


async def known_answer(store: RequestStore, request: Request) -> bytes | None:
    """Return the answer of the same request, if it has been carried out; raise `Invalid` if it was another."""
    return answer_of(await store.request(request.owner, request.request_id), request)


def answer_of(known: Request | None, request: Request) -> bytes | None:
    """As `known_answer`, for a store that has looked within a transaction of its own."""
    if known is None:
        return None
    if known.body_hash != request.body_hash:
        raise Invalid(
            "this request id (Idempotency-Key) was used for another request: take a new one",
            {FIELD: ["was used with another body"]},
        )
    return known.answer


def repeated(request: Request) -> AlreadyExists:
    """Return what a store raises when it is to keep a request that it has."""
    return AlreadyExists("request was made before", resource=request.request_id)


class MemoryRequests:
    """The requests of a store in memory."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[Request, float]] = {}

    def copy(self) -> "MemoryRequests":
        """Return the same, to be kept or thrown away."""
        copied = MemoryRequests()
        copied._kept = dict(self._kept)
        return copied

    def find(self, owner: str, request_id: str) -> Request | None:
        """Return the request of this name, if it is remembered."""
        found = self._kept.get((owner, request_id))
        return found[0] if found is not None else None

    def check(self, request: Request | None) -> None:
        """Raise `AlreadyExists` if it is kept: to be asked before anything is changed."""
        if request is not None and (request.owner, request.request_id) in self._kept:
            raise repeated(request)

    def keep(self, request: Request | None, now: float) -> None:
        """Keep it, if there is one, and forget what is older than a day."""
        if request is None:
            return
        self.check(request)
        self._kept[request.owner, request.request_id] = (request, now)
        for name, (_, at) in list(self._kept.items()):
            if at > now - KEPT_S:
                break  # in the order in which they were kept
            del self._kept[name]


def _caller() -> str:
    who = caller()
    return who.user or f"services/{who.service}"
