"""How many streams one caller may have open: a stream costs memory for as long as it stands, read or not."""

import collections
import contextlib
from collections.abc import AsyncIterator

import grpc

from meshkit.errors import Exhausted
from meshkit.interceptors import AroundInterceptor, Context, is_stream
from meshkit.principal import caller

_RETRY_S = 10.0


class Streams(AroundInterceptor):
    """Refuse a user one more stream than they may have open, of whatever methods this process serves.

    It stands inside `meshkit.access.Auth`.  Services, when they call for nobody, and hosts have as many as they need.
    """

    def __init__(self, streams_max: int) -> None:
        """0 takes any number."""
        super().__init__()
        self._max = streams_max
        self._open: collections.Counter[str] = collections.Counter()

    def takes(self, handler: grpc.RpcMethodHandler) -> bool:
        """Return whether it is a stream."""
        return is_stream(handler)

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Raise `Exhausted`, or count the stream for as long as it is open."""
        user = caller().user
        if not user or not self._max:
            yield
            return
        if self._open[user] >= self._max:
            raise Exhausted(
                f"you have {self._max} streams open: close some, or have the operator raise "
                "AGENTMESH_STREAMS_PER_OWNER",
                retry_after_s=_RETRY_S,
                limit=str(self._max),
            )
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]
