"""Messages as clients have them, in JSON or binary, and as services do: in binary.

JSON is proto3's (https://protobuf.dev/programming-guides/json).  A name that we do not know is refused (ADR 49), though
other servers of Connect pass over it: it is misspelt, or asks for what would not be done.  Fields without a value are
there, as they are under `/mesh/v1`.
"""

import asyncio
import re
from typing import Any, Protocol

import grpc
from google.protobuf import json_format, message

from gateway.http import fields
from gateway.http.answers import dumps
from gateway.http.aside import Aside
from gateway.http.connect.errors import CallError, invalid

_LARGE_BYTES = 32 * 1024
"""What takes longer than a few milliseconds to convert is converted beside the loop."""
_LARGE_AT_ONCE = 2
"""How many of each direction: the objects that JSON becomes may take twenty times as much."""
_WAITING_MAX = 16
"""How many requests may wait for that, each in memory."""
_VALUES_MAX = 100_000
"""Of a request: each costs some microseconds, whoever sends it, and however few bytes it has."""
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)


class Codec(Protocol):
    """How messages are written."""

    name: str

    async def read(self, data: bytes, kind: type[Any]) -> bytes:
        """Return a request as services take it.  Raises `CallError` if it is not one."""

    async def write(self, data: bytes, kind: type[Any]) -> bytes:
        """Return a response as the client takes it."""


class Binary:
    """As it is: whoever answers says what is wrong with it."""

    name = "proto"

    async def read(self, data: bytes, kind: type[Any]) -> bytes:
        """Return it."""
        return data

    async def write(self, data: bytes, kind: type[Any]) -> bytes:
        """Return it."""
        return data


class Json:
    """proto3's JSON."""

    name = "json"

    def __init__(self) -> None:
        self._reading = Aside(_LARGE_AT_ONCE, _WAITING_MAX)
        self._writing = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def read(self, data: bytes, kind: type[Any]) -> bytes:
        """Return a request in binary."""
        if len(data) <= _LARGE_BYTES:
            return _parsed(data, kind)
        if self._reading.is_full:
            raise CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many large messages at once: try again")
        return await self._reading(_parsed, data, kind)

    async def write(self, data: bytes, kind: type[Any]) -> bytes:
        """Return a response in JSON."""
        if len(data) <= _LARGE_BYTES:
            return _printed(data, kind)
        async with self._writing:
            return await asyncio.to_thread(_printed, data, kind)


def _parsed(data: bytes, kind: type[Any]) -> bytes:
    if len(data) > _VALUES_MAX and sum(map(_TEXT.sub(b"", data).count, (b",", b"{", b"["))) > _VALUES_MAX:
        text = f"message has more than {_VALUES_MAX} values, which are not read from JSON: send it in binary"
        raise CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise invalid("message is not JSON: it is not UTF-8") from None
    if not text.lstrip(" \t\r\n").startswith("{"):
        raise invalid("message is not a JSON object: one without fields is {}")
    try:
        found = json_format.Parse(text, kind())
        return bytes(found.SerializeToString())
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        # The parser of Protobuf meets lists and numbers where it expects objects in one way or another.
        raise invalid(f"message is not the JSON of {kind.DESCRIPTOR.full_name}: {_why(data, kind, error)}") from None


def _why(data: bytes, kind: type[Any], error: Exception) -> str:
    value, text = fields.parsed(data)
    return (text or fields.wrong(value, kind.DESCRIPTOR) or str(error))[:1000]


def _printed(data: bytes, kind: type[Any]) -> bytes:
    try:
        found = kind.FromString(data)
        text = dumps(json_format.MessageToDict(found, always_print_fields_with_no_presence=True))
    except (json_format.Error, message.DecodeError, TypeError, ValueError) as error:
        raise CallError(grpc.StatusCode.INTERNAL, f"the answer cannot be said in JSON: {error}"[:1000]) from None
    return text.encode()
