"""Looks at requests to our own API before the edge makes gRPC of them: is it JSON, and does it name what there is?

Envoy's transcoder passes over names that nobody knows, and says of bad JSON what only its authors understand.  So the
edge asks here first (`ext_authz`), of requests that have a body of a megabyte at most, or a query; what is larger it
reads itself.  Nothing is decided here but that: who calls is the service's matter.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import parse_qsl

from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.edge import contract
from gateway.edge.filters import CHECK_HEADER, CHECK_PATH, CHECK_S, CHECKED_BYTES_MAX
from gateway.http import fields
from gateway.http.aside import Aside

_LARGE_BYTES = 32 * 1024
"""What takes longer than a millisecond to read is read beside the loop, one at a time."""
_WAITING_MAX = 7
"""So many may wait for that; of more it is not asked what is wrong."""
_TEXT_CHARS_MAX = 1000
_PARTIAL = "x-envoy-auth-partial-body"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class _Binding(NamedTuple):
    verb: str
    path: re.Pattern[str]
    custom: str
    request: Descriptor
    body: str


class Checks:
    """Answers Envoy: 200 lets a request pass, 400 says in words what is wrong with it."""

    def __init__(self, services: Iterable[contract.Service]) -> None:
        """`services` are those of the mesh, whose generated code is imported."""
        self._bindings = [found for service in services if service.dialect == contract.TYPED for found in _of(service)]
        self._customs = {found.custom for found in self._bindings}
        self._aside = Aside(1, _WAITING_MAX)

    def route(self) -> BaseRoute:
        """Return where Envoy asks."""
        return Route(CHECK_PATH + "{path:path}", self._answer, methods=_METHODS)

    async def _answer(self, request: Request) -> Response:
        if CHECK_HEADER not in request.headers:
            raise HTTPException(404)
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response()
        if request.headers.get(_PARTIAL) == "true" or len(body) > CHECKED_BYTES_MAX:
            return Response()
        path = request.scope["raw_path"].decode("latin-1").removeprefix(CHECK_PATH)
        asked = request.method, path, request.url.query, body
        if len(body) <= _LARGE_BYTES:
            text = self.wrong(*asked)
        else:
            text = "" if self._aside.is_full else await self._large(asked)
        return Response(text.encode(errors="replace"), 400 if text else 200)

    async def _large(self, asked: tuple[str, str, str, bytes]) -> str:
        try:
            async with asyncio.timeout(CHECK_S):  # the edge waits no longer
                return await self._aside(self.wrong, *asked)
        except TimeoutError:
            return ""

    def wrong(self, verb: str, path: str, query: str, body: bytes) -> str:
        """Return what is wrong with a request; empty if nothing is, or nobody here knows such a path."""
        binding = self._binding(verb, path)
        if binding is None:
            return ""
        text = _wrong_query(binding, query) or (_wrong_body(binding, body) if body and binding.body else "")
        return text[:_TEXT_CHARS_MAX]

    def _binding(self, verb: str, path: str) -> _Binding | None:
        path, wanted = contract.parted(path, self._customs)
        fits = (one for one in self._bindings if (one.verb, one.custom) == (verb, wanted) and one.path.fullmatch(path))
        return next(fits, None)


def _of(service: contract.Service) -> Iterator[_Binding]:
    for method in service.methods:
        found = descriptor_pool.Default().FindMethodByName(method.name.strip("/").replace("/", "."))
        http = found.GetOptions().Extensions[annotations_pb2.http]
        rules = [rule for rule in (http, *http.additional_bindings) if rule.WhichOneof("pattern")]
        for rule, (verb, template) in zip(rules, method.bindings, strict=True):
            path = re.compile(contract.pattern(contract.stem(template)))
            yield _Binding(verb, path, contract.custom(template), found.input_type, rule.body)


def _wrong_query(binding: _Binding, query: str) -> str:
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if binding.body == "*":
            return f"query parameter {name}: this call takes its fields in the body, as JSON"
        kind: Descriptor | None = binding.request
        for part in name.split("."):
            field = None if kind is None else fields.named(kind, part)
            if field is None:
                known = [] if kind is None else sorted(kind.fields_by_camelcase_name)
                return f"query parameter {name}: there is none of this name{fields.like(part, known)}"
            kind = field.message_type
    return ""


def _wrong_body(binding: _Binding, body: bytes) -> str:
    value, text = fields.parsed(body)
    if text:
        return f"the body is not JSON: {text}; send one JSON object"
    field = None if binding.body == "*" else binding.request.fields_by_name[binding.body].message_type
    return fields.wrong(value, field or binding.request)
