"""HTTP requests to apps: the way through to what an author serves beside flows.

A handler may start jobs here as well; they are born as all others are.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from urllib.parse import parse_qs

from agentmesh_protos.runner.v1 import app_pb2, host_pb2

from meshkit import jsons
from meshkit.errors import AlreadyExists, DeadlineExceeded, Internal, Invalid
from meshkit.idempotency import Request
from meshkit.tasks import Tasks
from services.runner.apps.apps import Apps
from services.runner.births.births import Births, Order
from services.runner.births.launches import allowance_of, given_to, isolation_of
from services.runner.callers.masking import Masks
from services.runner.callers.requests import Requests
from services.runner.files.sent import NOTHING, file_fields, sent
from services.runner.files.uploads import Uploads
from services.runner.hosts.talks import Talk

BODY_BYTES_MAX = 4 * 1024 * 1024
_FIELDS_MAX = 10_000
# The host gives up by itself; one that cannot is given up this much later.
_ANSWER_MARGIN_S = 3.0


class Calls:
    """Sends requests to apps; what a handler launches is on disk before the answer goes back."""

    def __init__(
        self,
        apps: Apps,
        births: Births,
        requests: Requests,
        tasks: Tasks,
        *,
        timeout_s: float,
        patience_s: float,
        masks: Masks,
        uploads: Uploads,
    ) -> None:
        self._masks = masks
        self._uploads = uploads
        self._apps = apps
        self._births = births
        self._requests = requests
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    async def call(self, request: app_pb2.CallAppRequest, expose: str, owner: str) -> app_pb2.CallAppResponse:
        """Send a request on behalf of `owner`.

        Raises `NotFound` if there is no such app or it launches a flow that may not run, `Unavailable` while no host
        serves it, `DeadlineExceeded` and `Internal` if it does not answer, `Invalid` for a body that is too large or a
        request id that was used with another body.
        """
        await self._check(request, expose)
        parts = (request.name, request.method, request.path, request.query, request.body)
        once = self._requests.made(owner, request.request_id, *parts)
        async with self._requests.one_at_a_time(once):
            if once is not None and (known := await self._requests.known(once)) is not None:
                return app_pb2.CallAppResponse.FromString(known)
            return await self._call(request, expose, owner, once)

    async def _call(
        self, request: app_pb2.CallAppRequest, expose: str, owner: str, once: Request | None
    ) -> app_pb2.CallAppResponse:
        link = await self._apps.link(expose, self._patience_s)
        result = await link.call(self._to_pb(request, owner))
        if not result.status:
            raise Internal(result.error)
        response = app_pb2.CallAppResponse(
            status=result.status,
            headers=result.headers,
            body=result.body,
            jobs=[f"jobs/{launch.job_id}" for launch in result.launches],
        )
        if not result.launches:
            return response
        if once is not None:
            once = once.answered(response.SerializeToString())
        try:
            await self._bear(result.launches, request, expose, owner, once)
        except AlreadyExists:
            return app_pb2.CallAppResponse.FromString(await self._requests.known_elsewhere(once))
        return response

    async def stream(
        self, request: app_pb2.StreamAppRequest, expose: str, owner: str, said: AsyncIterator[app_pb2.AppPart]
    ) -> AsyncGenerator[app_pb2.AppPart, None]:
        """Send a request on behalf of `owner`, and yield what comes of it; `said` is what the client says meanwhile.

        Raises as `call` does; once the answer has begun, an app that fails ends it with a close that says so.
        """
        await self._check(request.call, expose)
        link = await self._apps.link(expose, self._patience_s)
        call = self._to_pb(request.call, owner)
        call.streams, call.socket = True, request.socket
        with link.talk(call) as talk:
            passing = asyncio.create_task(_pass_on(said, talk), name="app-client")
            try:
                async with asyncio.timeout(self._timeout_s + _ANSWER_MARGIN_S) as waiting:
                    while not talk.is_over:
                        heard = await talk.hear()
                        if heard is None:
                            return
                        if waiting.when() is not None:
                            waiting.reschedule(None)
                            _check_begun(heard.part, expose)
                        if heard.launches:
                            work = self._bear(heard.launches, request.call, expose, owner, None)
                            await self._tasks.complete(work, "bear-jobs")
                        yield heard.part
                talk.check()
            except TimeoutError:
                raise DeadlineExceeded(f"the app of {expose} did not answer within {self._timeout_s:g} s") from None
            finally:
                passing.cancel()
                await asyncio.gather(passing, return_exceptions=True)

    async def _check(self, request: app_pb2.CallAppRequest, expose: str) -> None:
        await self._apps.check_placed(expose)
        if len(request.body) > BODY_BYTES_MAX:
            raise Invalid("the body is larger than 4 MiB", {"body": ["must be at most 4 MiB"]})

    def _to_pb(self, request: app_pb2.CallAppRequest, owner: str) -> host_pb2.Call:
        return host_pb2.Call(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            user=owner,
            base_url=request.base_url,
            timeout_s=self._timeout_s,
            client=request.client,
        )

    async def _bear(
        self,
        launches: Sequence[host_pb2.Launch],
        request: app_pb2.CallAppRequest,
        expose: str,
        owner: str,
        once: Request | None,
    ) -> None:
        app = await self._apps.get(expose, self._patience_s)
        order = Order(owner=owner, expose=expose, base_url=request.base_url)
        values = _sent(request.body)
        given = functools.partial(given_to, self._masks, app, values)
        isolation = functools.partial(isolation_of, app)
        allowed = functools.partial(allowance_of, app, order)
        info = app.flows.get(f"/{request.path.strip('/')}")
        files = NOTHING if info is None else await sent(self._uploads, owner, values, file_fields(info.elements_json))
        await self._births.bear(
            launches, order, isolation, once, listed=app.flows, given=given, allowed=allowed, sent=files
        )


def _sent(body: bytes) -> Any:
    """Return what the body of a request says, of JSON or of a form."""
    said = jsons.value_of(body)
    if said is not None:
        return said
    try:
        return parse_qs(body.decode(), max_num_fields=_FIELDS_MAX)
    except ValueError:
        return None


async def _pass_on(said: AsyncIterator[app_pb2.AppPart], talk: Talk) -> None:
    """Tell the app what its client says, and that it has gone when it says no more."""
    try:
        async for part in said:
            await talk.pass_on(part)
    finally:
        talk.hang_up()


def _check_begun(part: app_pb2.AppPart, expose: str) -> None:
    """Raise `DeadlineExceeded` or `Internal` if the first that an app says is that it says nothing."""
    if part.HasField("close"):
        if part.close.timed_out:
            raise DeadlineExceeded(f"the app of {expose} gave no answer: {part.close.error}")
        raise Internal(part.close.error)
