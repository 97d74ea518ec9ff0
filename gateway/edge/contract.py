"""The contract as data: which services there are, which paths reach them, who may call them.

Read from `mesh/descriptors.binpb`, which `tools/generate.sh` writes beside the generated code.
"""

import dataclasses
import functools
import importlib
import importlib.resources
import re
from collections.abc import Container, Iterable

from agentmesh_protos.gateway.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

_DIALECTS = "mesh.dialects."
_GENERATED = "agentmesh_protos"
"""The Python package of all files under `mesh/`."""
TYPED = "mesh"
"""The name of our own API among the dialects."""
GRPC = r"application/grpc(\+.*|-web(-text)?(\+proto)?)?"
"""A regular expression for the content type of gRPC and gRPC-Web, as Envoy knows them."""
METHOD = r"/[^/]+\.[^/]+/[^/]+"
"""A regular expression for the path of a method; no REST path is like it."""
CONNECT_UNARY = "application/proto"
"""The content type of Connect's unary calls that become gRPC at the edge; the gateway makes it of those in JSON."""
CONNECT_STREAM = "application/connect+proto"
"""The same of its streams."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An RPC."""

    name: str
    """`/package.Service/Method`."""
    streams: bool
    """Whether it answers with a stream."""
    quiet: bool
    """Whether its stream may say nothing for long."""
    access: int
    """An `Access` of the options."""
    acts: bool
    """Whether it does something although its HTTP method may be GET."""
    signs_in: bool
    """Whether it takes a password, or something else that somebody may guess."""
    idempotent: bool
    """Whether the contract says that it has no side effects."""
    bindings: tuple[tuple[str, str], ...]
    """Its HTTP methods and path templates, such as `("GET", "/flow")`."""

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, so that it may be called again: the contract says so, or GET is all it has."""
        gets = bool(self.bindings) and all(verb == "GET" for verb, _ in self.bindings)
        return (self.idempotent or gets) and not self.acts and not self.signs_in


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A gRPC service."""

    name: str
    package: str
    camel: bool
    """Whether its JSON names are lower camel case: those of our own API are, as proto3 JSON has it."""
    methods: tuple[Method, ...]

    @property
    def is_dialect(self) -> bool:
        """Whether the gateway answers it."""
        return self.package.startswith(_DIALECTS)

    @property
    def dialect(self) -> str:
        """The name of the dialect that it is a part of; `mesh` for our own API, which no foreign one has a part in."""
        return self.package.removeprefix(_DIALECTS).partition(".")[0] if self.is_dialect else TYPED

    @property
    def has_paths(self) -> bool:
        """Whether REST reaches it."""
        return any(method.bindings for method in self.methods)


@functools.cache
def descriptors() -> bytes:
    """Return the serialised `FileDescriptorSet` of the mesh, with everything it imports."""
    return importlib.resources.files(_GENERATED).joinpath("descriptors.binpb").read_bytes()


def without_comments(data: bytes) -> bytes:
    """Return a serialised `FileDescriptorSet` without its source info, which is most of it, and of no use to Envoy."""
    found = descriptor_pb2.FileDescriptorSet.FromString(data)
    for file in found.file:
        file.ClearField("source_code_info")
    return found.SerializeToString()


@functools.cache
def services(data: bytes) -> tuple[Service, ...]:
    """Return the mesh's services in a serialised `FileDescriptorSet`."""
    found = []
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        if not file.package.startswith("mesh."):
            continue
        naming = file.options.Extensions[options_pb2.json_naming]
        camel = naming == options_pb2.JSON_NAMING_CAMEL or not file.package.startswith(_DIALECTS)
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
    rule = method.options.Extensions[options_pb2.rule]
    return Method(
        name=f"/{service}/{method.name}",
        streams=method.server_streaming,
        quiet=rule.quiet,
        access=rule.access,
        acts=rule.acts,
        signs_in=rule.signs_in,
        idempotent=method.options.idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS,
        bindings=bindings,
    )


@functools.cache
def import_all(data: bytes) -> None:
    """Import the generated module of every file of the mesh, so that reflection knows it."""
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        if file.package.startswith("mesh."):
            module = file.name.removeprefix("mesh/").removesuffix(".proto").replace("/", ".")
            importlib.import_module(f"{_GENERATED}.{module}_pb2")


def learn() -> None:
    """Read the mesh's own contract, where the gateway is forked from: it takes megabytes, and nothing of it changes."""
    services(descriptors())
    import_all(descriptors())


def templates(services: Iterable[Service], dialect: str) -> list[str]:
    """Return the path templates of a dialect's methods."""
    return [
        template
        for service in services
        if service.dialect == dialect
        for method in service.methods
        for _, template in method.bindings
    ]


class Paths:
    """Which HTTP methods a path takes."""

    def __init__(self, contract: Iterable[Service]) -> None:
        self._known = [
            (re.compile(pattern(stem(template))), custom(template), verb)
            for service in contract
            for method in service.methods
            for verb, template in method.bindings
        ]
        self._custom = {name for _, name, _ in self._known}

    def allowed(self, path: str) -> list[str]:
        """Return the methods of `path`, sorted; empty for an unknown path."""
        path, wanted = parted(path.rstrip("/") or "/", self._custom)
        return sorted({verb for known, name, verb in self._known if name == wanted and known.fullmatch(path)})


def custom(template: str) -> str:
    """Return the custom verb of a path or template: `cancel` of `/jobs/{job}:cancel`; empty if it has none.

    It is behind the last colon, as a name may have some.
    """
    _, colon, verb = template.rpartition("}")[2].rpartition("/")[2].rpartition(":")
    return verb if colon else ""


def stem(template: str) -> str:
    """Return a path or template without its custom verb."""
    verb = custom(template)
    return template.removesuffix(f":{verb}") if verb else template


def parted(path: str, customs: Container[str]) -> tuple[str, str]:
    """Return a path without its custom verb, and that; as for Envoy, what any template ends in is one in every path."""
    verb = custom(path)
    return (stem(path), verb) if verb in customs else (path, "")


def pattern(template: str) -> str:
    """Return a path template as a regular expression for a whole path."""
    # The grammar of google/api/http.proto: `{name}` and `{name=jobs/*}`, where `**` is any number of segments.
    parts = re.split(r"(\{[^}]*\})", template)
    return "".join(_variable(part[1:-1]) if part.startswith("{") else re.escape(part) for part in parts)


def _variable(text: str) -> str:
    inner = text.partition("=")[2] or "*"
    return "".join(_WILD.get(part) or re.escape(part) for part in re.split(r"(\*\*?)", inner))


_WILD = {"*": "[^/]+", "**": ".*"}
