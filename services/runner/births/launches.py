"""The ways to a job's birth: the flow's declared schema, or its author's form handler.

Who checks the inputs is all that differs.  A flow that declares its inputs is checked here, from the schema that its
app told us, and no code of its author runs; a form handler is asked in the app's own process.
"""

import dataclasses
import functools
import json
import secrets
from collections.abc import Callable, Container, Sequence
from typing import Any

from agentmesh_protos.runner.v1 import app_pb2, host_pb2

from meshkit import clock, inputs, jsons
from meshkit.errors import AlreadyExists, Internal, Invalid, MeshError, NotFound
from services.runner.apps.apps import Apps
from services.runner.apps.appstates import App
from services.runner.births.allowances import Allowance, Wanted, allowed
from services.runner.births.births import Births, Order
from services.runner.births.targets import KINDS, Targets, Wish
from services.runner.callers.masking import Given, Masks
from services.runner.callers.refusals import BY_FORM, refused
from services.runner.callers.requests import Requests
from services.runner.domain import Isolation, Job, ids
from services.runner.files import sent as sent_files
from services.runner.files.sent import NOTHING, Sent
from services.runner.files.uploads import Uploads
from services.runner.ports.store import JobStore

INPUTS_BYTES_MAX = 4 * 1024 * 1024
_NOT_THERE = (404, 405)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One CreateJob."""

    order: Order
    path: str
    """Of the flow within its app: `/` or `/async`."""
    inputs_json: str
    """A JSON object."""
    request_id: str = ""
    wish: Wish = dataclasses.field(default_factory=Wish)
    """Of an agent or crew."""

    @property
    def flow(self) -> str:
        """`flows/{expose}[/{path}]`."""
        return f"flows/{self.order.expose}{self.path}".rstrip("/")


class Launches:
    """Starts jobs."""

    def __init__(
        self,
        store: JobStore,
        apps: Apps,
        births: Births,
        targets: Targets,
        requests: Requests,
        *,
        timeout_s: float,
        patience_s: float,
        masks: Masks,
        uploads: Uploads,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`timeout_s` is a form handler's; `patience_s` is how long a launch waits for an app that is restarting."""
        self._store = store
        self._apps = apps
        self._births = births
        self._targets = targets
        self._requests = requests
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._masks = masks
        self._uploads = uploads
        self._now = now
        self._ids = ids.JobIds(secrets.randbits)

    async def create(self, launch: Launch) -> Job:
        """Start a job; it is on disk when this returns.

        Raises `Invalid` with a message per field if its inputs are refused, `NotFound` if there is no such flow or
        conversation, `Unavailable` while its app does not run, `DeadlineExceeded` and `Internal` if its form handler
        fails.
        """
        order = launch.order
        if len(launch.inputs_json.encode()) > INPUTS_BYTES_MAX:
            raise Invalid("the inputs are larger than 4 MiB", {"inputs": ["must be at most 4 MiB"]})
        request = self._requests.made(order.owner, launch.request_id, *_body(launch))
        async with self._requests.one_at_a_time(request):
            if request is not None and (known := await self._requests.known(request)) is not None:
                return await self._store.get(known.decode())
            await self._targets.check_conversation(order.conversation)
            if order.target.startswith(KINDS):
                order, planned = await self._targets.plan(order, launch.wish, _decode(launch.inputs_json))
                planned.job_id = self._ids.new(self._now())
                asked: Sequence[host_pb2.Launch] = [planned]
                isolation: Callable[[str], Isolation] = _shared
                listed: Container[str] = ()
                given: Callable[[str], Given] = _nothing_secret
                allowance: Callable[[str], Allowance] = functools.partial(_allowance_of_planned, order)
                files = NOTHING
            else:
                app, asked, files = await self._launch_flow(launch)
                isolation, listed = functools.partial(isolation_of, app), app.flows
                given = functools.partial(given_to, self._masks, app, jsons.value_of(launch.inputs_json))
                allowance = functools.partial(allowance_of, app, order)
            if request is not None:
                request = request.answered(asked[0].job_id.encode())
            try:
                jobs = await self._births.bear(
                    asked, order, isolation, request, listed=listed, given=given, allowed=allowance, sent=files
                )
            except AlreadyExists:
                known = await self._requests.known_elsewhere(request)
                return await self._store.get(known.decode())
        return jobs[0]

    async def check(self, launch: Launch) -> Given:
        """Check what `create` would, and start nothing; return what is secret in the inputs.

        A form handler is asked: what it does beside checking, it does.  Raises as `create`.
        """
        if len(launch.inputs_json.encode()) > INPUTS_BYTES_MAX:
            raise Invalid("the inputs are larger than 4 MiB", {"inputs": ["must be at most 4 MiB"]})
        await self._targets.check_conversation(launch.order.conversation)
        if launch.order.target.startswith(KINDS):
            await self._targets.plan(launch.order, launch.wish, _decode(launch.inputs_json))
            return Given()
        app, *_ = await self._launch_flow(launch)
        return given_to(self._masks, app, jsons.value_of(launch.inputs_json), launch.path)

    async def _launch_flow(self, launch: Launch) -> tuple[App, Sequence[host_pb2.Launch], Sent]:
        """Return the app of a flow, the jobs that it wants to start for checked inputs, and the files of the first."""
        await self._births.offer(launch.flow)
        app = await self._apps.get(launch.order.expose, self._patience_s)
        info = app.flows.get(launch.path)
        try:
            files = await self._files(launch, info)
            if info is not None and info.launcher == app_pb2.LAUNCHER_SCHEMA:
                return app, [self._check(info, launch.inputs_json, files)], files
            if files.fields:
                values = sent_files.as_kodosumi(_decode(launch.inputs_json), files)
                launch = dataclasses.replace(launch, inputs_json=json.dumps(values, ensure_ascii=False))
            return app, await self._ask(launch), files
        except MeshError as error:
            given = self._masks.given(info, jsons.value_of(launch.inputs_json))
            raise self._masks.of_app(app.expose).error(given.redactor.error(error)) from None

    async def _files(self, launch: Launch, info: app_pb2.FlowInfo | None) -> Sent:
        """Return the files that were sent for a launch.  Raises `Invalid` as a form's refusal."""
        fields = None if info is None else sent_files.file_fields(info.elements_json)
        if fields is not None and not fields:
            return NOTHING
        try:
            return await sent_files.sent(self._uploads, launch.order.owner, jsons.value_of(launch.inputs_json), fields)
        except Invalid as error:
            raise Invalid(str(error), error.fields, **BY_FORM) from error

    def _check(self, info: app_pb2.FlowInfo, inputs_json: str, files: Sent) -> host_pb2.Launch:
        """Check inputs by a flow's schema and return the job to start."""
        try:
            schema = _compiled(info.input_schema_json)
        except Invalid as error:
            raise Internal(f"the app declares inputs that cannot be checked: {error}") from error
        addressed, names = sent_files.as_addresses(_decode(inputs_json), files)
        checked = sent_files.as_names(checked_inputs(schema, addressed), files, names)
        return host_pb2.Launch(
            job_id=self._ids.new(self._now()),
            path=info.path,
            entry_point=info.entry_point,
            inputs_json=json.dumps(checked, ensure_ascii=False, separators=(",", ":")),
            meta_json=_meta_json(info.SerializeToString(deterministic=True)),
        )

    async def _ask(self, launch: Launch) -> Sequence[host_pb2.Launch]:
        """Have a flow's form handler check inputs; return the jobs it wants to start, at least one."""
        order = launch.order
        link = await self._apps.link(order.expose, self._patience_s)
        answer = await link.ask(
            host_pb2.Ask(
                path=launch.path,
                inputs_json=launch.inputs_json,
                user=order.owner,
                base_url=order.base_url,
                extra_json=json.dumps(order.extra) if order.extra else "",
                timeout_s=self._timeout_s,
            )
        )
        if answer.errors:
            raise refused("the form refuses the inputs", answer.errors)
        if answer.launches:
            return list(answer.launches)
        detail = answer.detail or "the form handler started no job"
        answered = {"http_status": str(answer.status)} if answer.status else {}
        if answer.status in _NOT_THERE:
            raise NotFound(f"{launch.flow} is not a flow", resource=launch.flow)
        if 400 <= answer.status < 500:
            raise Invalid(detail, {"inputs": [detail]}, **answered)
        raise Internal(detail, **answered)


_compiled = functools.lru_cache(maxsize=1024)(inputs.compile_schema)


def checked_inputs(schema: inputs.Schema, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as the schema would have them.  Raises `Invalid` as a form handler's refusal."""
    try:
        return inputs.check(schema, values)
    except Invalid as error:
        raise Invalid(str(error), error.fields, **{**error.metadata, **BY_FORM}) from error


def given_to(masks: Masks, app: App, sent: Any, path: str) -> Given:
    """Return what is secret in what was sent for an app's flow."""
    return masks.given(app.flows.get(f"/{path.strip('/')}"), sent)


def _nothing_secret(path: str) -> Given:
    """Return what is secret in the inputs of agents and crews: they have no form that could say."""
    return Given()


def _allowance_of_planned(order: Order, path: str) -> Allowance:
    """Return what a job of an agent or crew may take.  Raises `Invalid` for what the caller wants."""
    return allowed(None, order.wanted)


def _shared(path: str) -> Isolation:
    """Return what separates the jobs of agents and crews: they wait for others most of the time (ADR 6)."""
    return Isolation.SHARED


def allowance_of(app: App, order: Order, path: str) -> Allowance:
    """Return what a job of an app's flow may take.  Raises as `allowed`."""
    return allowed(app.flows.get(f"/{path.strip('/')}"), order.wanted)


def isolation_of(app: App, path: str) -> Isolation:
    """Return what separates the jobs of an app's flow: the operator's word, else the author's."""
    if app.placed.isolation is not None:
        return app.placed.isolation
    info = app.flows.get(f"/{path.strip('/')}")
    shared = info is not None and info.isolation == app_pb2.ISOLATION_SHARED
    return Isolation.SHARED if shared else Isolation.PROCESS


def _body(launch: Launch) -> tuple[str, ...]:
    """Return what makes two requests the same."""
    order = launch.order
    said: dict[str, Any] = {
        "extra": order.extra,
        "labels": order.labels,
        "conversation": order.conversation,
        "payment": dataclasses.astuple(order.payment),
        "free": order.free,
        "budget": launch.wish.budget.SerializeToString(deterministic=True).hex(),
        "external": launch.wish.external,
        **({"wanted": order.wanted.said()} if order.wanted != Wanted() else {}),
        "overrides": launch.wish.overrides.SerializeToString(deterministic=True).hex(),
    }
    return (order.target or launch.flow, launch.inputs_json, json.dumps(said, sort_keys=True))


def _decode(inputs_json: str) -> dict[str, Any]:
    try:
        value = json.loads(inputs_json)
    except (ValueError, RecursionError) as error:
        raise Invalid("the inputs are not JSON", {"inputs": [str(error)[:200]]}) from None
    if not isinstance(value, dict):
        raise Invalid("the inputs are not a JSON object", {"inputs": ["must be a JSON object"]})
    return value


@functools.lru_cache(maxsize=1024)
def _meta_json(flow_info: bytes) -> str:
    """Return what the author says of a flow (an encoded FlowInfo), as a JSON object: null where nothing is said."""
    info = app_pb2.FlowInfo.FromString(flow_info)
    said: dict[str, Any] = {
        "tags": list(info.tags) or None,
        "summary": info.summary or None,
        "description": info.description or None,
    }
    given = {field.name for field, _ in info.ListFields()}
    for name in ("deprecated", "author", "organization", "version"):
        said[name] = getattr(info, name) if name in given else None
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
