"""Page tokens that nobody gave, on every list of the contract: the caller's to mend, never ours."""

import base64
import json

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory

from gateway.edge import contract
from tests.gateway.stack import DEADLINE_S, Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
FORGED = [
    "x",
    "é",
    "=" * 8,
    "a" * 5000,
    base64.urlsafe_b64encode(b"[]").decode(),
    base64.urlsafe_b64encode(json.dumps(["x", "00000000"]).encode()).decode(),
    base64.urlsafe_b64encode(json.dumps([None, 1e300]).encode()).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
]
CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND}
"""Some lists are for services only, or of something that has to be there."""


async def test_a_forged_page_token_is_refused_by_every_list(edge: Edge) -> None:
    """Of every service that has a field for one."""
    pool = descriptor_pool.Default()
    found: dict[str, set[str]] = {}
    async with grpc.aio.insecure_channel(edge.address) as channel:
        for service in contract.services(contract.descriptors()):
            for method in pool.FindServiceByName(service.name).methods:
                if "page_token" not in method.input_type.fields_by_name or method.server_streaming:
                    continue
                request_type = message_factory.GetMessageClass(method.input_type)
                answer_type = message_factory.GetMessageClass(method.output_type)
                path = f"/{service.name}/{method.name}"
                call = channel.unary_unary(path, request_type.SerializeToString, answer_type.FromString)
                for token in FORGED:
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await call(
                            request_type(page_token=token),
                            metadata=tuple((key.lower(), value) for key, value in edge.operator.items()),
                            timeout=DEADLINE_S,
                        )
                    found.setdefault(path, set()).add(refused.value.code().name)

    assert len(found) >= 10
    assert not {path: codes for path, codes in found.items() if not codes <= {code.name for code in CODES}}
    assert sum("INVALID_ARGUMENT" in codes for codes in found.values()) >= 8
