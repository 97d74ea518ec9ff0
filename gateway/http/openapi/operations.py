"""An RPC and one of its paths as an operation of OpenAPI."""

import dataclasses
import http
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agentmesh_protos.gateway.v1 import options_pb2
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

from gateway.http.answers import JSON
from gateway.http.openapi import models, paths
from gateway.http.openapi.comments import first_sentence
from gateway.http.openapi.messages import BY_HAND, Contract, Messages
from gateway.http.shapes import ANYTHING, REPEATABLE, SSE, Body, Content, Many, Reference, Shape
from meshkit.idempotency import FIELD

Schema = dict[str, Any]
LINES = "application/x-ndjson"
_Field = descriptor_pb2.FieldDescriptorProto
_EMPTY = "google.protobuf.Empty"


class Unshaped(Exception):
    """A method takes or answers what its messages do not describe, and its dialect has registered no shape."""


DENIED = 403
"""What a page of another site is answered where it may not make a browser ask (`gateway/edge/origins.lua`)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An RPC in the contract."""

    service: str
    """Its full name."""
    proto: descriptor_pb2.MethodDescriptorProto

    @property
    def key(self) -> str:
        """`Service.Method`, by which shapes are registered."""
        return f"{self.service.rpartition('.')[2]}.{self.proto.name}"

    @property
    def access(self) -> int:
        """An `Access` of the options."""
        return int(self.proto.options.Extensions[options_pb2.rule].access)

    @property
    def acts(self) -> bool:
        """Whether it does something although its HTTP method may be GET."""
        return bool(self.proto.options.Extensions[options_pb2.rule].acts)

    @property
    def success(self) -> int:
        """The HTTP status of a success."""
        return self.proto.options.Extensions[options_pb2.rule].success or 200

    @property
    def bindings(self) -> list[tuple[str, str, str]]:
        """HTTP method in lower case, template and body of each path."""
        rule = self.proto.options.Extensions[annotations_pb2.http]
        return [found for each in (rule, *rule.additional_bindings) if (found := _binding(each))]


def _binding(rule: http_pb2.HttpRule) -> tuple[str, str, str] | None:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        return None
    if kind == "custom":
        return rule.custom.kind.lower(), rule.custom.path, rule.body
    return kind, getattr(rule, kind), rule.body


class Operations:
    """Makes the operations of one dialect."""

    def __init__(
        self, contract: Contract, reference: Reference, messages: Messages, add: Callable[[str, Schema], None]
    ) -> None:
        self._contract = contract
        self._reference = reference
        self._messages = messages
        self._add = add

    def of(self, method: Method) -> Iterator[tuple[str, str, Schema]]:
        """Yield path, HTTP method and operation for each path of an RPC.  Raises `Unshaped`."""
        shape = self._reference.shapes.get(method.key, Shape())
        for number, (verb, template, body) in enumerate(method.bindings):
            path = paths.parse(template)
            taken = self._request_body(method, shape, path, body)
            operation: Schema = {
                **self._said(method, number),
                "parameters": [*self._parameters(method, path, body), *self._headers(method, shape)],
                "responses": self._responses(method, shape, verb, has_body=bool(taken)),
                "security": self._security(method),
            }
            if taken:
                operation["requestBody"] = taken
            yield path.text, verb, operation

    def _said(self, method: Method, number: int) -> Schema:
        text = self._contract.comments.get(f"{method.service}.{method.proto.name}", "")
        if method.access == options_pb2.ACCESS_OPERATOR:
            text = f"{text}\n\nFor operators."
        service, _, name = method.key.partition(".")
        suffix = f"_{number + 1}" if number else ""
        return {
            "operationId": f"{service.removesuffix('Service')}_{name}{suffix}",
            "tags": [service.removesuffix("Service")],
            "summary": first_sentence(text),
            "description": text,
        }

    # -- what is sent

    def _parameters(self, method: Method, path: paths.Path, body: str) -> Iterator[Schema]:
        request = method.proto.input_type[1:]
        for variable in path.variables:
            schema: Schema = {"type": "string"} if variable.deep else {"type": "string", "pattern": "^[^/]+$"}
            text = self._contract.comments.get(f"{request}.{variable.field}", "") if variable.whole else ""
            if variable.deep:
                text = f"{text} May have slashes.".strip()
            described = {"description": text} if text else {}
            yield {"name": variable.name, "in": "path", "required": True, "schema": schema, **described}
        if body == "*":
            return
        for field in self._contract.messages[request].field:
            if field.name in path.fields or field.name == body:
                continue
            schema = self._messages.field(request, field, answer=False)
            text = schema.pop("description", "")
            parameter: Schema = {"name": self._messages.json_name(field), "in": "query", "schema": schema}
            if text:
                parameter["description"] = text
            if field.label == _Field.LABEL_REPEATED:
                parameter["explode"] = True
            yield parameter

    def _headers(self, method: Method, shape: Shape) -> Iterator[Schema]:
        taken = dict(shape.headers)
        if any(field.name == FIELD for field in self._contract.messages[method.proto.input_type[1:]].field):
            taken |= REPEATABLE
        for name, text in taken.items():
            yield {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}

    def _request_body(self, method: Method, shape: Shape, path: paths.Path, body: str) -> Schema:
        if not body:
            return {}
        request = self._contract.messages[method.proto.input_type[1:]]
        if shape.takes is not None:
            return {"required": not shape.may_be_left_out, "content": self._content(shape.takes, answer=False)}
        if body == "*":
            made = self._messages.schema(method.proto.input_type[1:], answer=False, without=path.fields)
            if not made["properties"]:
                return {}
            self._add(request.name, made)
            return {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{request.name}"}}}}
        field = next(field for field in request.field if field.name == body)
        if field.type_name[1:] in BY_HAND:
            raise Unshaped(f"{method.key} takes a body that no message describes: register its shape")
        return {"content": {JSON: {"schema": self._messages.ref(field.type_name[1:], answer=False)}}}

    # -- what is answered

    def _responses(self, method: Method, shape: Shape, verb: str, *, has_body: bool) -> Schema:
        found: dict[str, Schema] = {str(method.success): self._success(method, shape)}
        if verb == "head":
            found[str(method.success)].pop("content", None)
        if "default" not in shape.also:  # or whatever comes is somebody else's
            for status in self._errors(method, verb, has_body=has_body):
                found[str(status)] = {"$ref": f"#/components/responses/{component(status)}"}
        if self._reference.browsers_sign_in and verb == "get" and method.access != options_pb2.ACCESS_PUBLIC:
            found["302"] = {"$ref": f"#/components/responses/{component(302)}"}
        for also, body in shape.also.items():
            found[str(also)] = self._also(also, body)
        return dict(sorted(found.items()))

    def _success(self, method: Method, shape: Shape) -> Schema:
        said: Schema = {"description": http.HTTPStatus(method.success).phrase}
        answered = method.proto.output_type[1:]
        if shape.answers is not None:
            return {**said, "content": self._content(shape.answers, answer=True)} if shape.answers else said
        if answered in BY_HAND:
            raise Unshaped(f"{method.key} answers what no message describes: register its shape")
        if answered == _EMPTY and method.success == http.HTTPStatus.NO_CONTENT:
            return said
        schema = self._messages.ref(answered, answer=True)
        if not method.proto.server_streaming:
            return {**said, "content": {JSON: {"schema": schema}}}
        lines: Schema = {"schema": {"type": "string", "description": "A JSON document on each line, as they happen."}}
        return {**said, "content": {LINES: {**lines, "x-item-schema": schema}}}

    def _errors(self, method: Method, verb: str, *, has_body: bool) -> Iterator[int]:
        """Yield what may go wrong: what concerns a body only where there is one, and so on."""
        guarded = (DENIED,) if method.acts or verb not in ("get", "head", "options") else ()
        for status in sorted({*self._reference.errors, *guarded}):
            if status in (413, 415) and not has_body:
                continue
            if status == 409 and verb in ("get", "head", "options"):
                continue
            yield status

    def _also(self, status: int | str, body: Body) -> Schema:
        if status == "default":
            return {"description": "Any other answer.", "content": self._content(body, answer=True)}
        said: Schema = {"description": http.HTTPStatus(int(status)).phrase}
        content = self._content(body, answer=True)
        if int(status) >= 400:
            content = {JSON: {"schema": self.schema_of(self._reference.error, answer=True)}, **content}
        return {**said, "content": content} if content else said

    def _content(self, body: Body, *, answer: bool) -> Schema:
        return {content.media_type: self._media(content, answer=answer) for content in body}

    def _media(self, content: Content, *, answer: bool) -> Schema:
        if content in (ANYTHING, SSE):  # of events, a schema would be of each
            return {}
        schema = {"type": "string"} if content.model is None else self.schema_of(content.model, answer=answer)
        return {"schema": schema} if content.example is None else {"schema": schema, "example": content.example}

    def schema_of(self, model: Any, *, answer: bool) -> Schema:
        """Return the schema of a content's model."""
        if isinstance(model, Many):
            return {"type": "array", "items": self.schema_of(model.item, answer=answer)}
        if descriptor := getattr(model, "DESCRIPTOR", None):
            return self._messages.ref(descriptor.full_name, answer=answer)
        return models.schema(model, self._add, answer=answer)

    # -- who may

    def _security(self, method: Method) -> list[Mapping[str, list[str]]]:
        if method.access == options_pb2.ACCESS_PUBLIC:
            return [{key: []} for key in self._reference.keys] or []
        if method.access == options_pb2.ACCESS_LOCAL:
            return [{"bearer": []}, {"header": []}, {}]
        return [{name: []} for name in ("bearer", "header", "cookie")]


def component(status: int) -> str:
    """Return the name of the component that describes an answer with this status."""
    return http.HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")
