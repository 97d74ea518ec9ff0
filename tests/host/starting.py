"""An app for the tests of hosts: it does something of its own when it starts."""

import contextlib
import os
from collections.abc import AsyncIterator

from agentmesh import ServeAPI


@contextlib.asynccontextmanager
async def _lifespan(app: ServeAPI) -> AsyncIterator[None]:
    """Say at the named pipe of the test that the app has been started."""
    with open(os.environ["AM_TEST_STARTED"], "w", encoding="utf-8") as gate:
        gate.write("started")
    yield


app = ServeAPI(lifespan=_lifespan)
