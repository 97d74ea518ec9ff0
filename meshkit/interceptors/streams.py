"""How many streams one caller may have open: a stream costs memory for as long as it stands, read or not."""

import collections
import contextlib
from collections.abc import AsyncIterator, Iterator

import grpc

from meshkit.errors import Exhausted
from meshkit.interceptors.around import AroundInterceptor, Context, is_stream
from meshkit.principal import caller

_RETRY_S = 10.0


class Open:
    """Counts what each owner has open in this process, and refuses one more than they may have."""

    def __init__(self, per_owner: int, what: str, setting: str) -> None:
        """0 takes any number.  `what` is counted in words, and `setting` is what raises the limit."""
        self._max = per_owner
        self._what = what
        self._setting = setting
        self._counts: collections.Counter[str] = collections.Counter()

    @contextlib.contextmanager
    def of(self, owner: str) -> Iterator[None]:
        """Count one more for the length of the block, or raise `Exhausted`; who is nobody (empty) has any number."""
        if not owner or not self._max:
            yield
            return
        if self._counts[owner] >= self._max:
            raise Exhausted(
                f"you have {self._max} {self._what} open: close some, or have the operator raise {self._setting}",
                retry_after_s=_RETRY_S,
                limit=str(self._max),
            )
        self._counts[owner] += 1
        try:
            yield
        finally:
            self._counts[owner] -= 1
            if not self._counts[owner]:
                del self._counts[owner]


class Streams(AroundInterceptor):
    """Refuse a user one more stream than they may have open, of whatever methods this process serves.

    It stands inside `meshkit.access.Auth`.  Services, when they call for nobody, and hosts have as many as they need.
    """

    def __init__(self, streams_max: int) -> None:
        """0 takes any number."""
        super().__init__()
        self._open = Open(streams_max, "streams", "AGENTMESH_STREAMS_PER_OWNER")

    def takes(self, handler: grpc.RpcMethodHandler) -> bool:
        """Return whether it is a stream."""
        return is_stream(handler)

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Raise `Exhausted`, or count the stream for as long as it is open."""
        with self._open.of(caller().user):
            yield
