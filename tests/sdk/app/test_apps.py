"""What an app says of itself: its flows and locks, and whether it starts something."""

import contextlib
from collections.abc import AsyncIterator

import fastapi
import pytest

from agentmesh import ServeAPI
from agentmesh._app.loading import flows_of
from tests.sdk import flows


def test_flows_are_what_is_marked() -> None:
    """Forms, and routes with `entry`; the names are those FastAPI would give."""
    listed = {(flow.path, flow.method): flow for flow in flows_of(flows.app)}

    assert {("/", "GET"), ("/raw", "POST"), ("/strict", "GET"), ("/sync", "GET")} == set(listed)
    hello, strict = listed["/", "GET"], listed["/strict", "GET"]
    assert ("Hello", "Says hello.", ["a", "b"], "me@example.com", "1.0", None) == (
        *(hello.summary, hello.description, hello.tags, hello.author, hello.version, hello.deprecated),
    )
    assert ("Enter Strict", "", "House", None) == (
        *(strict.summary, strict.description, strict.organization, strict.version),
    )


def test_flows_of_included_routers_are_found() -> None:
    """With the prefix they are included under."""
    router = fastapi.APIRouter()

    @router.get("/x", openapi_extra={"x-kodosumi": True})
    async def x() -> None:
        """Do nothing."""

    app = ServeAPI()
    app.include_router(router, prefix="/sub")

    assert ["/sub/x"] == [flow.path for flow in flows_of(app)]


def test_locks_are_kept_by_name() -> None:
    """A name is taken once; the handlers are given back as they were."""
    assert {"ask": flows.lock_ask} == flows.app.lock_handlers
    assert {"ask": flows.lease_ask} == flows.app.lease_handlers
    with pytest.raises(ValueError, match="lock 'ask' is declared twice"):
        flows.app.lock("ask")(flows.lock_ask)


def test_an_app_says_whether_it_starts_something() -> None:
    """One that does not need not be there before somebody asks it."""
    starting, stopping, given, including = ServeAPI(), ServeAPI(), ServeAPI(lifespan=_lifespan), ServeAPI()
    starting.router.add_event_handler("startup", _nothing)
    stopping.router.add_event_handler("shutdown", _nothing)
    including.include_router(fastapi.APIRouter(lifespan=_lifespan))

    assert flows.app.starts_idle
    assert not any(app.starts_idle for app in (starting, stopping, given, including))


@contextlib.asynccontextmanager
async def _lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
    yield


async def _nothing() -> None:
    """Do nothing at a start or a stop."""
