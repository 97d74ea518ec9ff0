"""Messages in a stream, each in an envelope, and gzip.

No more than the limit is ever held of what is compressed: a few kilobytes may decode to gigabytes.
"""

import asyncio
import gzip
import json
from typing import Any

import grpc

from gateway.edge.limits import REQUEST_BYTES_MAX
from gateway.http import encodings
from gateway.http.connect.errors import CallError, invalid, too_large
from gateway.http.errors import HttpError
from meshkit.errors import Invalid

GZIP = "gzip"
_PREFIX_BYTES = 5
_COMPRESSED, _END = 1, 2
"""Flags."""
_WORTH_BYTES = 1024
"""Less is not compressed."""
_LARGE_BYTES = 256 * 1024
"""What takes longer than a few milliseconds is done beside the loop."""
_LEVEL = 1
"""Of effort: an answer is compressed once for each who reads it."""


def check_encoding(name: str) -> str:
    """Return how a message is compressed, empty for not at all.  Raises `CallError` for what nobody decodes here."""
    name = name.strip().lower()
    if name in ("", "identity"):
        return ""
    if name not in (GZIP, "x-gzip"):
        text = f"unknown compression {name[:80]!r}: supported encodings are {GZIP}, identity"
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, text, headers={"accept-encoding": GZIP})
    return GZIP


def accepts_gzip(header: str) -> bool:
    """Return whether a client takes gzip, by its (Connect-)Accept-Encoding (RFC 9110 12.5.3)."""
    for each in header.lower().split(","):
        name, _, rest = each.partition(";")
        if name.strip() in (GZIP, "x-gzip"):
            return rest.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def inflated(data: bytes) -> bytes:
    """Return what was compressed.  Raises `CallError` if it was not, or is too large."""
    try:
        if len(data) < _LARGE_BYTES // 8:
            return encodings.decoded(data, GZIP, REQUEST_BYTES_MAX)
        return await asyncio.to_thread(encodings.decoded, data, GZIP, REQUEST_BYTES_MAX)
    except HttpError:
        raise too_large(REQUEST_BYTES_MAX) from None
    except Invalid:
        raise invalid(f"message is not {GZIP}") from None


async def deflated(data: bytes) -> bytes | None:
    """Return it compressed, or None if that is not worth it."""
    if len(data) < _WORTH_BYTES:
        return None
    if len(data) < _LARGE_BYTES:
        return gzip.compress(data, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, data, _LEVEL, mtime=0)


async def only_message(data: bytes, encoding: str) -> bytes:
    """Return the one message of what a client sent as a stream.  Raises `CallError` if it is not one."""
    if not data:
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, "this method takes one message, and there is none")
    if len(data) < _PREFIX_BYTES:
        raise invalid(f"an envelope begins with {_PREFIX_BYTES} bytes, and there are {len(data)}")
    flags, size = data[0], int.from_bytes(data[1:_PREFIX_BYTES], "big")
    if size > REQUEST_BYTES_MAX:
        raise too_large(REQUEST_BYTES_MAX)
    content = data[_PREFIX_BYTES : _PREFIX_BYTES + size]
    if len(content) < size:
        raise invalid(f"an envelope promised {size} bytes, and {len(content)} came")
    if len(data) > _PREFIX_BYTES + size:
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, "this method takes one message, and there are more")
    if flags & ~_COMPRESSED:
        raise invalid(f"an envelope of a request has no flags {flags:#04x}")
    if not flags:
        return content
    if not encoding:
        raise CallError(grpc.StatusCode.INTERNAL, "a message is compressed, and no connect-content-encoding says how")
    return await inflated(content)


async def sealed(data: bytes, *, compress: bool) -> bytes:
    """Return a message in its envelope."""
    packed = await deflated(data) if compress else None
    return _envelope(0, data) if packed is None else _envelope(_COMPRESSED, packed)


def ending(error: CallError | None, trailers: list[tuple[str, str]]) -> bytes:
    """Return the last envelope of a stream, which says how it went."""
    said: dict[str, Any] = {}
    if error is not None:
        said["error"] = error.body()
    if trailers:
        said["metadata"] = {name: [value for key, value in trailers if key == name] for name, _ in trailers}
    return _envelope(_END, json.dumps(said, separators=(",", ":")).encode())


def _envelope(flags: int, data: bytes) -> bytes:
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data
