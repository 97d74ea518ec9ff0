"""Lists of the services, read to their end."""

from typing import Any

import grpc
import pytest
from mesh.registry.v1 import registry_pb2

from gateway.core import paging
from meshkit.errors import Unavailable

FLOWS = [registry_pb2.Flow(name=f"flows/{number}") for number in range(2500)]


class Pages:
    """A list call; counts how often it is made."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def __call__(self, asked: registry_pb2.ListFlowsRequest) -> registry_pb2.ListFlowsResponse:
        """Return a page."""
        self.sizes.append(asked.page_size)
        start = int(asked.page_token or 0)
        end = start + asked.page_size
        return registry_pb2.ListFlowsResponse(
            flows=FLOWS[start:end], next_page_token=str(end) if end < len(FLOWS) else ""
        )


@pytest.mark.parametrize(
    ("most", "found", "sizes"), [(None, 2500, [1000] * 3), (1500, 1500, [1000] * 2), (20, 20, [20])]
)
async def test_pages_are_followed(most: int | None, found: int, sizes: list[int]) -> None:
    """To the end, or until there are enough."""
    pages = Pages()
    names = await paging.every(pages, registry_pb2.ListFlowsRequest(), lambda page: page.flows, most=most)

    assert FLOWS[:found] == names
    assert sizes == pages.sizes


async def test_what_the_service_says_comes_out() -> None:
    """As an error of ours."""

    async def away(asked: Any) -> Any:
        metadata = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, metadata, metadata, details="away")

    with pytest.raises(Unavailable):
        await paging.every(away, registry_pb2.ListFlowsRequest(), lambda page: page.flows)
