"""Which method a path means: one of the contract, or of grpc.health.v1."""

import dataclasses
import functools
import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2

from gateway.edge import clusters, contract

PATH = re.compile(r"/([A-Za-z_]\w*(?:\.\w+)+)/(\w+)", re.ASCII)
"""Of a method; no other path of the mesh is like it."""
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_MESH = "mesh."


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What may be called."""

    path: str
    process: str
    """Who answers: the name of a cluster."""
    request: type[Any]
    response: type[Any]
    takes_stream: bool
    """Whether it is asked with a stream."""
    streams: bool
    """Whether it answers with one."""
    reads: bool
    """Whether it has no side effects, as the contract says, so that it may be called by GET."""


@functools.cache
def find(path: str) -> Method | None:
    """Return the method of a path, None if there is none."""
    named = PATH.fullmatch(path)
    if named is None or not (named[1].startswith(_MESH) or named[1] == _HEALTH):
        return None
    contract.import_all(contract.descriptors())
    try:
        service = descriptor_pool.Default().FindServiceByName(named[1])
        found = service.methods_by_name[named[2]]
    except KeyError:
        return None
    return Method(
        path=path,
        process=clusters.process_of(service.full_name) or clusters.GATEWAY,
        request=message_factory.GetMessageClass(found.input_type),
        response=message_factory.GetMessageClass(found.output_type),
        takes_stream=found.client_streaming,
        streams=found.server_streaming,
        reads=found.GetOptions().idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
        and not found.server_streaming,
    )
