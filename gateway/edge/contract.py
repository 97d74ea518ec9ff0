"""The contract as data: which services there are, which paths reach them, who may call them.

Read from `mesh/descriptors.binpb`, which `tools/generate.sh` writes beside the generated code.
"""

import dataclasses
import functools
import importlib
import importlib.resources
import re

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from mesh.gateway.v1 import options_pb2

_DIALECTS = "mesh.dialects."


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An RPC."""

    name: str
    """`/package.Service/Method`."""
    streams: bool
    """Whether it answers with a stream."""
    access: int
    """An `Access` of the options."""
    bindings: tuple[tuple[str, str], ...]
    """Its HTTP methods and path templates, such as `("GET", "/flow")`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A gRPC service."""

    name: str
    package: str
    camel: bool
    """Whether its JSON names are lower camel case."""
    methods: tuple[Method, ...]

    @property
    def is_dialect(self) -> bool:
        """Whether the gateway answers it."""
        return self.package.startswith(_DIALECTS)


@functools.cache
def descriptors() -> bytes:
    """Return the serialised `FileDescriptorSet` of the mesh, with everything it imports."""
    return importlib.resources.files("mesh").joinpath("descriptors.binpb").read_bytes()


def without_comments(data: bytes) -> bytes:
    """Return a serialised `FileDescriptorSet` without what the protos say to people: most of it, and Envoy keeps it all."""
    found = descriptor_pb2.FileDescriptorSet.FromString(data)
    for file in found.file:
        file.ClearField("source_code_info")
    return found.SerializeToString()


def services(data: bytes) -> tuple[Service, ...]:
    """Return the mesh's services in a serialised `FileDescriptorSet`."""
    found = []
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        if not file.package.startswith("mesh."):
            continue
        camel = file.options.Extensions[options_pb2.json_naming] == options_pb2.JSON_NAMING_CAMEL
        for service in file.service:
            name = f"{file.package}.{service.name}"
            methods = tuple(_method(name, method) for method in service.method)
            found.append(Service(name=name, package=file.package, camel=camel, methods=methods))
    return tuple(found)


def _method(service: str, method: descriptor_pb2.MethodDescriptorProto) -> Method:
    http = method.options.Extensions[annotations_pb2.http]
    bindings = tuple(
        (rule.custom.kind, rule.custom.path)
        if rule.WhichOneof("pattern") == "custom"
        else (rule.WhichOneof("pattern").upper(), getattr(rule, rule.WhichOneof("pattern")))
        for rule in (http, *http.additional_bindings)
        if rule.WhichOneof("pattern")
    )
    return Method(
        name=f"/{service}/{method.name}",
        streams=method.server_streaming,
        access=method.options.Extensions[options_pb2.rule].access,
        bindings=bindings,
    )


def import_all(data: bytes) -> None:
    """Import the generated module of every file of the mesh, so that reflection knows it."""
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        if file.package.startswith("mesh."):
            importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")


class Paths:
    """Which HTTP methods a path takes."""

    def __init__(self, contract: tuple[Service, ...]) -> None:
        self._known = [
            (_pattern(template), verb)
            for service in contract
            for method in service.methods
            for verb, template in method.bindings
        ]

    def allowed(self, path: str) -> list[str]:
        """Return the methods of `path`, sorted; empty for an unknown path."""
        path = path.rstrip("/") or "/"
        return sorted({verb for pattern, verb in self._known if pattern.fullmatch(path)})


def _pattern(template: str) -> re.Pattern[str]:
    # The templates we write: literals, {name} and {name=**} (google/api/http.proto has the whole grammar).
    parts = re.split(r"(\{[^}]*\})", template)
    return re.compile("".join(_segment(part) for part in parts))


def _segment(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return ".*" if part.endswith("=**}") else "[^/]+"
