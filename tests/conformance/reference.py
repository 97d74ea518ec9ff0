"""Answers held to the reference: what comes back must be what the OpenAPI documents say, and no more.

`Checked` is a transport for httpx that does so with everything that passes, so that each test over HTTP is one of the
documents too.
"""

import functools
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import jsonschema_rs

from gateway import openapi

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_EARLY = (405, 408, 421, 426, 431)
"""Statuses that come before anybody knows which operation is meant."""


class Checked(httpx.AsyncBaseTransport):
    """Passes requests on, and raises `AssertionError` for an answer that the documents do not describe."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the answer's body is judged when it has been read to its end."""
        response = await self._inner.handle_async_request(request)
        judge = judge_of(request, response)
        if judge is None:
            return response
        assert isinstance(response.stream, httpx.AsyncByteStream)
        stream = _Judged(response.stream, judge)
        return httpx.Response(response.status_code, headers=response.headers, stream=stream)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()


class _Judged(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, judge: "Judge") -> None:
        self._stream = stream
        self._judge = judge

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = bytearray()
        async for chunk in self._stream:
            seen += chunk
            yield chunk
        self._judge.check(bytes(seen))

    async def aclose(self) -> None:
        await self._stream.aclose()


class Judge:
    """Knows what a body must be."""

    def __init__(self, where: str, validator: Any) -> None:
        self._where = where
        self._validator = validator

    def check(self, body: bytes) -> None:
        """Raise `AssertionError` unless the body is as described."""
        errors = [f"{error.instance_path}: {error.message}" for error in self._validator.iter_errors(json.loads(body))]
        assert not errors, f"{self._where} answers what its reference does not say: {errors[:3]}: {body[:500]!r}"


def judge_of(request: httpx.Request, response: httpx.Response) -> Judge | None:
    """Check status and media type; return who is to judge the body, None if there is nothing to judge."""
    path = request.url.path.rstrip("/") or "/"
    found = _find(path, request.method.lower())
    if found is None or response.status_code in _EARLY:
        return None
    document, operation = found
    where = f"{request.method} {request.url.path} -> {response.status_code}"
    answers = operation["responses"]
    answer = answers.get(str(response.status_code)) or answers.get("default")
    assert answer is not None, f"{where} is not in the reference, which knows {sorted(answers)}"
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    content = answer.get("content", {})
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if not content or "*/*" in content or request.method == "HEAD":
        return None
    assert kind in content, f"{where} is {kind}, which is not in the reference: {sorted(content)}"
    schema = content[kind].get("schema")
    if schema is None or not kind.endswith("json") or kind.endswith("ndjson"):
        return None
    return Judge(where, _validator(document["info"]["title"], json.dumps(schema)))


@functools.cache
def documents() -> Mapping[str, dict[str, Any]]:
    """Return the documents by their titles."""
    return {document["info"]["title"]: document for document in openapi.documents().values()}


@functools.cache
def _routes() -> list[tuple[re.Pattern[str], int, dict[str, Any], dict[str, Any]]]:
    found = []
    for document in documents().values():
        for path, item in document["paths"].items():
            deep = {
                parameter["name"]
                for operation in item.values()
                for parameter in operation["parameters"]
                if parameter["in"] == "path" and "pattern" not in parameter["schema"]
            }
            parts = re.split(r"\{(\w+)\}", path)
            pattern = "".join(
                (".*" if part in deep else "[^/:]+") if number % 2 else re.escape(part)
                for number, part in enumerate(parts)
            )
            found.append((re.compile(pattern), path.count("{"), document, item))
    return sorted(found, key=lambda route: route[1])  # what has fewer variables is meant


def _find(path: str, method: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    for pattern, _, document, item in _routes():
        if method in item and pattern.fullmatch(path):
            return document, item[method]
    return None


@functools.cache
def _validator(title: str, schema: str) -> Any:
    components = {"$defs": documents()[title]["components"]["schemas"]}
    text = json.dumps(closed({**json.loads(schema), **components})).replace("#/components/schemas/", "#/$defs/")
    return jsonschema_rs.Draft202012Validator(json.loads(text), validate_formats=True)


def closed(schema: Any) -> Any:
    """Return a schema whose objects may have no properties but those that it names."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: value if key in ("enum", "example", "const") else closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made
