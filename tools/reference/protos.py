"""The contract: services, methods, who may call them, where REST has them."""

from collections.abc import Iterator, Mapping

from agentmesh_protos.gateway.v1 import options_pb2
from google.protobuf import descriptor_pb2

from gateway.edge import contract
from gateway.http.openapi import comments
from tools.reference.markdown import code, prose, table

_OPENING = (
    "[Who may call](index.md#who-may-call) says what the words under Access mean, and `→`, an answer that is a stream."
)


def page(title: str, *, of_dialects: bool) -> str:
    """Return the page of the dialects' services, or of our own."""
    return "\n\n".join([f"# {title}", _OPENING, *_sections(of_dialects)])


def _sections(of_dialects: bool) -> Iterator[str]:
    files = descriptor_pb2.FileDescriptorSet.FromString(contract.descriptors()).file
    said = comments.by_name(files)
    known = {
        f"/{file.package}.{service.name}/{method.name}": method
        for file in files
        for service in file.service
        for method in service.method
    }
    package = ""
    for service in sorted(contract.services(contract.descriptors()), key=lambda each: each.name):
        if service.is_dialect is of_dialects:
            if service.package != package:
                package = service.package
                yield f"## {package}"
            yield f"### {service.name.removeprefix(f'{package}.')}"
            yield from map(prose, said.get(service.name, "").split("\n\n"))
            yield table(
                ["Method", "Access", "HTTP", ""], (_row(each, known[each.name], said) for each in service.methods)
            )


def _row(known: contract.Method, method: descriptor_pb2.MethodDescriptorProto, said: Mapping[str, str]) -> list[str]:
    rule = method.options.Extensions[options_pb2.rule]
    access = [code(options_pb2.Access.Name(rule.access).removeprefix("ACCESS_").lower())]
    streams = " ⇄" if method.client_streaming else " →" if method.server_streaming else ""
    bindings = "<br>".join(code(f"{verb} {path}") for verb, path in known.bindings)
    success = f" {rule.success}" if bindings and rule.success else ""
    says = prose(said.get(known.name[1:].replace("/", "."), ""))
    return [code(method.name) + streams, ", ".join(access + ["`guests`"] * rule.guests), bindings + success, says]
