"""An app for the tests of hosts: it does something of its own when it starts."""

import contextlib
import os
import pathlib
from collections.abc import AsyncIterator

from agentmesh import ServeAPI


@contextlib.asynccontextmanager
async def _lifespan(app: ServeAPI) -> AsyncIterator[None]:
    """Say at the named pipe of the test that the app has been started."""
    pathlib.Path(os.environ["AM_TEST_STARTED"]).write_text("started", encoding="utf-8")
    yield


app = ServeAPI(lifespan=_lifespan)
