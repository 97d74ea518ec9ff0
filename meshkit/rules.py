"""The policy of methods, read from the contract: `option (mesh.gateway.v1.rule) = {access: OPERATOR}`."""

from agentmesh_protos.gateway.v1 import options_pb2
from google.protobuf import descriptor_pool

Access = options_pb2.Access

# Standard services that carry no option of ours: health and reflection are for everybody.
_STANDARD = ("grpc.health.v1.", "grpc.reflection.v1.", "grpc.reflection.v1alpha.")


class MissingRule(Exception):
    """A method without a rule does not start."""


def rule_of(method: str) -> options_pb2.Rule:
    """Return the rule of `/package.Service/Method`.

    Raises `MissingRule` if the contract gives it none, and `KeyError` if no such method is known.
    """
    if method.lstrip("/").startswith(_STANDARD):
        return options_pb2.Rule(access=options_pb2.ACCESS_PUBLIC)
    service, _, name = method.lstrip("/").rpartition("/")
    descriptor = descriptor_pool.Default().FindServiceByName(service)
    options = descriptor.methods_by_name[name].GetOptions()
    rule = options.Extensions[options_pb2.rule]
    if rule.access == options_pb2.ACCESS_UNSPECIFIED:
        raise MissingRule(f"{method} has no (mesh.gateway.v1.rule): say who may call it")
    return rule


def check_rules(service: str) -> None:
    """Raise `MissingRule` if a method of `package.Service` has no rule."""
    if service.startswith(_STANDARD):
        return
    for method in descriptor_pool.Default().FindServiceByName(service).methods:
        rule_of(f"/{service}/{method.name}")
