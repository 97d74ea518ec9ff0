"""Request bodies that were compressed on the way (`Content-Encoding`, RFC 9110 §8.4): gzip and deflate.

The edge refuses other encodings, and every encoding where no dialect reads the body (`edge.lua`).  Sizes count bytes of
what comes out, and no more than the limit is ever held: a body of a few kilobytes may decode to gigabytes.
"""

import zlib
from typing import Any

from google.api import httpbody_pb2

from gateway.edge.limits import BODY_BYTES_MAX, ENCODINGS
from gateway.http.errors import TOO_LARGE, HttpError
from meshkit.errors import Invalid

HEADER = "content-encoding"
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""Formats, as zlib calls them (`wbits`)."""


def decode(request: Any, encoding: str) -> None:
    """Decode the body in a request's message in place, if it has one and says that it is encoded.

    Raises `HttpError` 413 or 415, or `Invalid` if the body is not what the header says.
    """
    if encoding in ("", "identity"):
        return
    for field, value in request.ListFields():
        if (
            field.message_type is not None
            and field.message_type.full_name == httpbody_pb2.HttpBody.DESCRIPTOR.full_name
        ):
            value.data = decoded(value.data, encoding)


def decoded(data: bytes, encoding: str, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Return what `data` was before it was encoded.  Raises as `decode` does."""
    if encoding in ("", "identity"):
        return data
    if encoding not in ENCODINGS:
        remedy = f"send the body as it is or encoded as {' or '.join(ENCODINGS)}"
        raise HttpError(415, f"{HEADER} {encoding[:80]} is not decoded here: {remedy}")
    try:
        if encoding == "gzip":
            return _inflated(data, _GZIP, bytes_max)
        try:
            return _inflated(data, _ZLIB, bytes_max)
        except zlib.error:  # some clients send it without the frame that the standard asks for
            return _inflated(data, _RAW, bytes_max)
    except (zlib.error, EOFError):
        raise Invalid("body cannot be decoded", {HEADER: [f"the body is not {encoding}: send it as it is"]}) from None


def _inflated(data: bytes, wbits: int, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data:
        member = zlib.decompressobj(wbits)
        part = member.decompress(data, bytes_max - size + 1)
        size += len(part)
        if size > bytes_max:
            raise HttpError(413, TOO_LARGE)
        if not member.eof:
            raise EOFError
        parts.append(part)
        data = member.unused_data if wbits == _GZIP else b""  # a file of gzip may have several members
    return b"".join(parts)
