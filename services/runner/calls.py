"""HTTP requests to apps: the way through to what an author serves beside flows.

A handler may start jobs here as well; they are born as all others are.
"""

import functools

from mesh.runner.v1 import app_pb2, host_pb2

from meshkit.errors import AlreadyExists, Internal, Invalid
from meshkit.idempotency import Request
from services.runner.apps import Apps
from services.runner.births import Births, Order
from services.runner.launches import isolation_of
from services.runner.requests import Requests

BODY_BYTES_MAX = 4 * 1024 * 1024


class Calls:
    """Sends requests to apps; what a handler launches is on disk before the answer goes back."""

    def __init__(self, apps: Apps, births: Births, requests: Requests, *, timeout_s: float, patience_s: float) -> None:
        self._apps = apps
        self._births = births
        self._requests = requests
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    async def call(self, request: app_pb2.CallAppRequest, expose: str, owner: str) -> app_pb2.CallAppResponse:
        """Send a request on behalf of `owner`.

        Raises `NotFound` if there is no such app, `Unavailable` while no host serves it, `DeadlineExceeded` and
        `Internal` if it does not answer, `Invalid` for a body that is too large or a request id that was used with
        another body.
        """
        self._apps.check_placed(expose)
        if len(request.body) > BODY_BYTES_MAX:
            raise Invalid("the body is larger than 4 MiB", {"body": ["must be at most 4 MiB"]})
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
        result = await link.call(
            host_pb2.Call(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=request.body,
                user=owner,
                base_url=request.base_url,
                timeout_s=self._timeout_s,
            )
        )
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
        app = await self._apps.get(expose, self._patience_s)
        order = Order(owner=owner, expose=expose, base_url=request.base_url)
        try:
            await self._births.bear(result.launches, order, functools.partial(isolation_of, app), once)
        except AlreadyExists:  # the same request, a moment earlier, by another runner
            if once is None or (known := await self._requests.known(once)) is None:
                raise Internal("the app used a job id twice") from None
            return app_pb2.CallAppResponse.FromString(known)
        return response
