"""What a client asks: the headers, or the query of a call by GET, the message and the deadline."""

import asyncio
import base64
import binascii
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Literal
from urllib.parse import unquote_to_bytes

import grpc
from starlette.requests import Request

from gateway.edge.limits import REQUEST_BYTES_MAX
from gateway.http.connect import envelopes, methods
from gateway.http.connect.errors import CallError, invalid, too_large
from gateway.http.connect.messages import Codec
from gateway.http.exchange import HEAD_HEADER, PATH_HEADER
from gateway.http.passages import received
from meshkit import telemetry
from meshkit.interceptors import tracing
from meshkit.net.whence import CLIENT_HEADER

TYPE_HEADER, VERSION_HEADER = "x-mesh-connect-type", "x-mesh-connect-version"
"""The content type and the version of the protocol as a client sent them, where Envoy's bridge must not see them."""
_CONNECT_HEADER = "x-mesh-connect"
_TIMEOUT = re.compile(r"[0-9]{1,10}", re.ASCII)
_VERSION = "1"
_ENVELOPES_BYTES = 64
"""What the envelopes of a stream may add to its message."""
_NAME, _UNSPEAKABLE = re.compile(r"[0-9a-z_.-]+", re.ASCII), re.compile(r"[^\x20-\x7e]")
"""What gRPC takes as a name, and does not take in a value."""
_OURS = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "host"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"),
        *("connect-accept-encoding", "connect-content-encoding", "connect-protocol-version", "connect-timeout-ms"),
        *(TYPE_HEADER, VERSION_HEADER, _CONNECT_HEADER, PATH_HEADER, HEAD_HEADER),
    }
)
"""Headers of this hop, and those that have been read here."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call: what it is, before anything of it was read."""

    request: Request
    method: methods.Method
    codec: Codec
    by: Literal["POST", "GET", "stream"]

    @property
    def content_type(self) -> str:
        """Of a success."""
        return f"application/connect+{self.codec.name}" if self.by == "stream" else f"application/{self.codec.name}"

    @property
    def takes_gzip(self) -> bool:
        """Whether the answer may be compressed."""
        name = "connect-accept-encoding" if self.by == "stream" else "accept-encoding"
        return envelopes.accepts_gzip(self.request.headers.get(name, ""))

    @property
    def timeout_s(self) -> float | None:
        """How long the client waits; None for no limit of its own.  Raises `CallError`."""
        text = self.request.headers.get("connect-timeout-ms")
        if text is None:
            return None
        if not _TIMEOUT.fullmatch(text):
            raise invalid("connect-timeout-ms is a number of at most ten digits")
        return int(text) / 1000

    async def body(self) -> bytes:
        """Read the request to its end; by GET it has none.  Raises `CallError`."""
        self._check_version()
        if self.by == "GET":
            return b""
        self._encoding()
        bytes_max = REQUEST_BYTES_MAX + (_ENVELOPES_BYTES if self.by == "stream" else 0)
        return await received(self.request, bytes_max, too_large(REQUEST_BYTES_MAX))

    async def message(self, body: bytes) -> bytes:
        """Return the message of a body as services take it, within the time that the client waits.

        Raises `CallError`.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self.codec.read(await self._unpacked(body), self.method.request)
        except TimeoutError:
            raise CallError(grpc.StatusCode.DEADLINE_EXCEEDED, "the client does not wait longer") from None

    async def _unpacked(self, body: bytes) -> bytes:
        if self.by == "GET":
            return await _in_query(_query(self.request))
        if self.by == "stream":
            return await envelopes.only_message(body, self._encoding())
        return await envelopes.inflated(body) if self._encoding() else body

    def _encoding(self) -> str:
        """Return how the message is compressed.  Raises `CallError` for what nobody decodes here."""
        name = "connect-content-encoding" if self.by == "stream" else "content-encoding"
        return envelopes.check_encoding(self.request.headers.get(name, ""))

    def metadata(self) -> list[tuple[str, str]]:
        """Return the headers that go on to whoever answers."""
        own = tracing.headers(telemetry.here())
        own.append((CLIENT_HEADER, _UNSPEAKABLE.sub("?", self.request.headers.get("user-agent", ""))))
        left_out = _OURS | {name for name, _ in own}
        return [*_passed_on(self.request.headers, left_out), *own]

    def _check_version(self) -> None:
        headers = self.request.headers
        found = headers.get(VERSION_HEADER) or headers.get("connect-protocol-version", _VERSION)
        if self.by == "GET":
            found = _query(self.request).get("connect", b"v1").decode("ascii", "replace").removeprefix("v")
        if found != _VERSION:
            raise invalid(f"this is version {_VERSION} of the protocol, and not {found[:20]!r}")


def asked(request: Request, codecs: Mapping[str, Codec]) -> Asked:
    """Return what a request asks.  Raises `CallError` for what is no call of a method that there is."""
    method = methods.find(request.scope["path"])
    if method is None:
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, "there is no such method")
    if request.method == "POST":
        return _by_post(request, method, codecs)
    if not method.reads or request.method not in ("GET", "HEAD"):
        allowed = "GET, HEAD, POST" if method.reads else "POST"
        text = f"call {method.path} by {' or '.join(allowed.split(', '))}"
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, text, status=405, headers={"allow": allowed})
    name = _query(request).get("encoding", b"").decode("ascii", "replace")
    if name not in codecs:
        known = " or ".join(f"encoding={each}" for each in codecs)
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, f"the query must have {known}", status=415)
    return Asked(request=request, method=method, codec=codecs[name], by="GET")


def _by_post(request: Request, method: methods.Method, codecs: Mapping[str, Codec]) -> Asked:
    sent = request.headers.get(TYPE_HEADER) or request.headers.get("content-type", "")
    kind, _, rest = sent.lower().partition(";")
    spoken = f"application/{'connect+' if method.streams or method.takes_stream else ''}"
    codec = codecs.get(kind.strip().removeprefix(spoken)) if kind.strip().startswith(spoken) else None
    if codec is None or rest.replace(" ", "").replace('"', "") not in ("", "charset=utf-8"):
        known = ", ".join(f"{spoken}{name}" for name in codecs)
        text = f"this method is called in {known}, or gRPC"
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, text, status=415, headers={"accept-post": known})
    if method.takes_stream:
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, "who sends a stream speaks gRPC here")
    return Asked(request=request, method=method, codec=codec, by="stream" if method.streams else "POST")


def _passed_on(headers: Mapping[str, str], left_out: frozenset[str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        is_theirs = _NAME.fullmatch(name) and name not in left_out
        if is_theirs and not name.startswith("grpc-") and not name.endswith("-bin"):
            yield name, _UNSPEAKABLE.sub("?", value)  # never left out: what is there may decide, as of proxies


def _query(request: Request) -> dict[str, bytes]:
    """Return the parameters as they were sent, decoded; the first of a name counts."""
    target = request.headers.get(PATH_HEADER) or f"{request.url.path}?{request.url.query}"
    found: dict[str, bytes] = {}
    for pair in target.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        found.setdefault(name, unquote_to_bytes(value.replace("+", " ")))
    return found


async def _in_query(query: Mapping[str, bytes]) -> bytes:
    encoding = envelopes.check_encoding(query.get("compression", b"").decode("ascii", "replace"))
    if "message" not in query:
        raise invalid("the query must have a message, which may be empty in binary")
    data = query["message"]
    if query.get("base64") == b"1":
        try:
            # A plus that was not escaped has become a blank.
            text = data.replace(b" ", b"-").replace(b"+", b"-").replace(b"/", b"_").rstrip(b"=")
            data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise invalid("the message is not base64") from None
    return await envelopes.inflated(data) if encoding else data
