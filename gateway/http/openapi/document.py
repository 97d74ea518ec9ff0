"""The reference of a dialect: an OpenAPI 3.1 document."""

import http
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import descriptor_pb2

from gateway.edge import contract
from gateway.http.dialect import Dialect
from gateway.http.openapi import models
from gateway.http.openapi.comments import first_sentence
from gateway.http.openapi.messages import Contract, Messages
from gateway.http.openapi.operations import DENIED, Method, Operations, component
from meshkit.verifier import Credentials

Schema = dict[str, Any]


def render(dialect: Dialect, descriptors: bytes, version: str) -> Schema:
    """Return the document as JSON-able values.

    `descriptors` is a serialised `FileDescriptorSet` with source info, and `version` the mesh's.  The same arguments
    give the same document.
    """
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
    known = Contract(files)
    services = [service for service in contract.services(descriptors) if service.dialect == dialect.name]
    reference = dialect.reference
    schemas: dict[str, Schema] = {}

    def add(name: str, schema: Schema) -> None:
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"{name} would be two schemas of {dialect.name}: rename one")

    values = {
        f"{dialect.package}.{field}": models.schema(model, add, answer=True)
        for field, model in reference.values.items()
    }
    camel = any(service.camel for service in services)
    messages = Messages(known, camel=camel, values=values, add=add)
    operations = Operations(known, reference, messages, add)
    paths: dict[str, Schema] = {}
    tags = []
    for service in services:
        methods = list(_methods(files, service))
        for method in methods:
            for path, verb, operation in operations.of(method):
                paths.setdefault(path, {})[verb] = operation
        if any(method.bindings for method in methods):
            name = service.name.rpartition(".")[2].removesuffix("Service")
            tags.append({"name": name, "description": known.comments.get(service.name, "")})
    error = operations.schema_of(reference.error, answer=True)
    statuses = sorted({*reference.errors, DENIED})
    responses = {component(status): _error(status, dialect.error_type, error) for status in statuses}
    if reference.browsers_sign_in:
        responses[component(302)] = {"description": "A browser without a token is sent to sign in."}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": reference.title,
            "version": version,
            "summary": first_sentence(reference.description),
            "description": reference.description,
        },
        "servers": [{"url": "/", "description": "The mesh that serves this document."}],
        "tags": tags,
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": responses,
            "securitySchemes": _schemes(dialect.credentials, reference.keys),
        },
    }


def _methods(files: Iterable[descriptor_pb2.FileDescriptorProto], service: contract.Service) -> Iterable[Method]:
    for file in files:
        for each in file.service:
            if f"{file.package}.{each.name}" == service.name:
                yield from (Method(service=service.name, proto=method) for method in each.method)


def _error(status: int, kind: str, schema: Schema) -> Schema:
    return {"description": http.HTTPStatus(status).phrase, "content": {kind: {"schema": schema}}}


def _schemes(credentials: Credentials, keys: Mapping[str, str]) -> Schema:
    found: Schema = {}
    if credentials.bearer:
        found["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    for header in credentials.headers:
        found["header"] = {"type": "apiKey", "in": "header", "name": header.upper()}
    for cookie in credentials.cookies:
        found["cookie"] = {"type": "apiKey", "in": "cookie", "name": cookie}
    for key, text in keys.items():
        found[key] = {"type": "apiKey", "in": "header", "name": key, "description": text}
    return found
