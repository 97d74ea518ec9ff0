"""The client's `Idempotency-Key`, from the head of a request to the services that carry it out.

Whatever a dialect asks of a service on behalf of one request carries the request's key, if it can be repeated at all:
servicers do nothing about it.  One that asks several things of a kind gives each a `request_id` of its own.  Under
`/mesh/v1` requests go straight to the services, where `meshkit.interceptors.Keyed` does the same.
"""

from collections.abc import Callable
from typing import Any

import grpc

from gateway.http.exchange import current
from meshkit.errors import Invalid, MeshError
from meshkit.idempotency import FIELD, KEY_HEADER, adopt


class Keys(grpc.aio.UnaryUnaryClientInterceptor):
    """Names calls to services by the key of the request that is being answered."""

    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Give a call that can be named and has no name the client's.  Raises `Invalid` for a key that is too long."""
        asked = current.get(None)
        if asked is not None and FIELD in request.DESCRIPTOR.fields_by_name and not request.request_id:
            adopt(request, asked.idempotency_key)
        return await continuation(details, request)


def in_our_words(error: MeshError, key: str) -> MeshError:
    """Return an error about a call's name as one about the header `key` that the client has sent, if it has."""
    if isinstance(error, Invalid) and list(error.fields) == [FIELD] and key:
        return type(error)(str(error), {KEY_HEADER: error.fields[FIELD]}, **error.metadata)
    return error
