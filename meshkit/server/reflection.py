"""Server reflection, under both names that clients ask for, and for methods too.

grpcio ships `grpc.reflection.v1alpha` only, and its pool of descriptors finds every symbol but a method, which is what
`grpcurl describe package.Service.Method` asks for.
"""

import functools
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1ALPHA = reflection.SERVICE_NAME
V1 = V1ALPHA.replace("v1alpha", "v1")


class Symbols:
    """The default pool of descriptors, as grpcio's servicer asks one; methods are found by their full names."""

    def __init__(self) -> None:
        pool = descriptor_pool.Default()
        self._pool = pool
        self.FindFileByName = pool.FindFileByName
        self.FindMessageTypeByName = pool.FindMessageTypeByName
        self.FindExtensionByNumber = pool.FindExtensionByNumber
        self.FindAllExtensions = pool.FindAllExtensions

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # the pool's name
        """Return the descriptor of a symbol's file.  Raises `KeyError`."""
        symbol = symbol.removeprefix(".")
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, name = symbol.rpartition(".")
            return self._pool.FindServiceByName(service).methods_by_name[name].containing_service.file


def handlers(services: Sequence[str]) -> list[grpc.GenericRpcHandler]:
    """Return what answers reflection of `services`, full names, and of itself."""
    _add_v1()
    servicer = reflection.aio.ReflectionServicer(dict.fromkeys((*services, V1, V1ALPHA)), pool=Symbols())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    # The messages of both versions are alike.
    return [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}) for name in (V1, V1ALPHA)]


@functools.cache
def _add_v1() -> None:
    """What is listed must also be described: buf asks for the file of every service it hears of."""
    v1alpha = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(v1alpha)
    text = json_format.MessageToJson(v1alpha).replace("v1alpha", "v1")
    v1 = json_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(v1.SerializeToString())
