"""What a refusal says is wrong."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def fields(error: grpc.aio.AioRpcError) -> list[str]:
    """Return the fields an INVALID_ARGUMENT names."""
    status = rpc_status.from_call(error)
    assert status is not None
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(bad)
    return [violation.field for violation in bad.field_violations]
