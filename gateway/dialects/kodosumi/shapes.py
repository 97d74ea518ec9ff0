"""What the panel's bodies look like, for its reference: where no message of the contract says it."""

from typing import Any, Literal

import pydantic
from agentmesh_protos.dialects.kodosumi.v1 import auth_pb2, expose_pb2, flow_pb2

from gateway.dialects.kodosumi.expose import SavedExpose
from gateway.dialects.kodosumi.flows import Sources
from gateway.dialects.kodosumi.login import Credentials
from gateway.dialects.kodosumi.outputs import Fids
from gateway.dialects.kodosumi.roles import NewRole, PasswordChange, RoleChange
from gateway.http.shapes import ANYTHING, HTML, REPEATABLE, SSE, TEXT, Body, Many, Reference, Shape, forms, json

Texts = dict[str, list[str]]
Element = dict[str, Any]
"""A form's element: `type`, mostly `name` and `label`, and what else the type has."""


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(use_attribute_docstrings=True)


class Error(_Model):
    """What went wrong."""

    error: str
    """The kind, such as `NotFoundException`."""
    path: str
    """The path that was asked for."""
    detail: str
    """What went wrong and what to do; behind the status, unless that is 400, 401 or 404."""
    status_code: int
    """The HTTP status again."""


class Redirect(_Model):
    """Where a sign-out leads."""

    redirect: str = ""
    """A path on this server."""


# -- exposes -----------------------------------------------------------------------------------------------------------


class ExposeMeta(_Model):
    """What an operator says about one flow of an expose, and how that flow does."""

    url: str
    """The flow's path with the expose in front: `/prime/async`."""
    data: str | None
    """YAML."""
    enabled: bool
    state: str | None
    """`alive` or `dead` after a boot."""
    heartbeat: float | None
    """When `state` was last seen to be true, in seconds since 1970."""


class Check(_Model):
    """One thing that was looked at."""

    valid: bool
    message: str


class FlowHealth(_Model):
    """How a flow does."""

    url: str
    endpoint: Check
    """Whether it answers."""
    fields: Check
    """Whether its meta says what it should."""
    state: Literal["alive", "dead"]


class ExposeHealth(_Model):
    """How an expose does."""

    name: str
    app: Check
    state: str
    state_changed: bool
    meta_count: int
    alive_count: int
    fields_ok: int
    meta: list[FlowHealth]


class Health(_Model):
    """How one expose does."""

    checked: int
    timestamp: float
    results: list[ExposeHealth]


class AllHealth(Health):
    """How all exposes do."""

    updated: int


# -- executions --------------------------------------------------------------------------------------------------------

_WORD = Literal["starting", "running", "awaiting", "finished", "error"]


class Status(_Model):
    """Where an execution stands."""

    status: _WORD
    timestamp: float
    """When the status last changed, in seconds since 1970."""
    final: str | None
    """The result, as JSON in a text; of an error `{"Text":{"body": message}}`."""
    fid: str
    summary: str | None
    description: str | None
    tags: list[str]
    deprecated: bool | None
    author: str | None
    organization: str | None
    version: str | None
    kodosumi_version: str | None
    base_url: str
    """The flow's url on this server."""
    app_url: str
    """The app's whole address."""
    entry_point: str
    """`module:function`."""
    username: str
    """The id of its owner."""
    locks: list[str]
    """Ids of the questions that wait for an answer."""


class Inputs(_Model):
    """What an execution was launched with."""

    values: dict[str, Any] = pydantic.Field(alias="dict")


class TimelineItem(_Model):
    """An execution in the timeline."""

    fid: str
    tags: list[str]
    summary: str | None
    inputs: Inputs
    status: _WORD
    startup: str
    """ISO 8601, in UTC."""
    finish: str | None
    """The same, or null while it runs."""
    runtime: float
    """In seconds."""
    locks: list[str]


class TimelinePage(_Model):
    """A page of the timeline."""

    items: list[TimelineItem]
    query: str | None
    offset: str | None
    """Pass it for the next page; null on the last."""


class TimelineChanges(_Model):
    """What changed."""

    update: list[TimelineItem]
    delete: list[str]
    timestamp: float
    """Pass it as `since` the next time."""
    query: str | None


class LockTaken(_Model):
    """An answer was taken."""

    result: Any
    """What the execution gets."""
    elements: list[Element]


class LockRefused(_Model):
    """An answer was refused; the lock waits on."""

    errors: Texts
    """By element; `_global_` concerns none."""
    elements: list[Element]


_RESUME = {"last-event-id": "Only events behind this one."}
_SEEN: dict[int | str, Body] = {204: ()}
"""An EventSource that comes back behind the end."""
_ELSEWHERE: dict[int | str, Body] = {302: ()}
_PAGES: dict[int | str, Body] = dict.fromkeys((400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504), (HTML,))
_STATUS = {
    "status": "running",
    "timestamp": 1747813976.091786,
    "final": None,
    "fid": "682d86536dd659324a5c8901",
    "summary": "Hymn Creator",
    "description": "This agent creates a short hymn about a given topic...",
    "tags": ["Test", "CrewAi"],
    "deprecated": None,
    "author": "author@example.com",
    "organization": None,
    "version": "1.0.1",
    "kodosumi_version": None,
    "base_url": "/-/localhost/8001/hymn/-/",
    "app_url": "http://localhost:3370/-/hymn",
    "entry_point": "hymn.app:crew",
    "username": "35a04fc4-4442-4b24-b109-614b45d52de1",
    "locks": [],
}
_REFUSED = {"errors": {"topic": ["Please give me a topic."], "_global_": []}, "elements": []}
_APP = Shape(
    takes=(ANYTHING,), may_be_left_out=True, answers=(ANYTHING,), also={"default": (ANYTHING,)}, headers=REPEATABLE
)

SHAPES = {
    "SignInService.SubmitLogin": Shape(takes=forms(Credentials), also=_ELSEWHERE),
    "SignInService.PostLogin": Shape(
        takes=(json(Credentials, {"name": "admin", "password": "admin"}),), also=_ELSEWHERE
    ),
    "SignInService.Logout": Shape(answers=(), also=_ELSEWHERE),
    "SignInService.SubmitLogout": Shape(takes=forms(Redirect), may_be_left_out=True, answers=(), also=_ELSEWHERE),
    "RoleService.CreateRole": Shape(takes=(json(NewRole),), headers=REPEATABLE),
    "RoleService.ListRoles": Shape(answers=(json(Many(auth_pb2.Role)),)),
    "RoleService.ChangePassword": Shape(takes=(json(PasswordChange),)),
    "RoleService.UpdateRole": Shape(takes=(json(RoleChange),)),
    "ExposeService.SaveExpose": Shape(
        takes=(json(SavedExpose, {"name": "jkx", "bootstrap": "import_path: examples.jkx.app:app"}),),
        headers=REPEATABLE,
    ),
    "ExposeService.ListExposes": Shape(answers=(json(Many(expose_pb2.Expose)),)),
    "ExposeService.CheckExposes": Shape(answers=(json(AllHealth),)),
    "ExposeService.CheckExpose": Shape(answers=(json(Health),)),
    "BootService.StartBoot": Shape(answers=(TEXT,)),
    "BootService.WatchBoot": Shape(answers=(TEXT,)),
    "BootService.StopApps": Shape(answers=(TEXT,)),
    "BootService.RefreshExpose": Shape(answers=(TEXT,)),
    "FlowService.ListTags": Shape(answers=(json(dict[str, int]),)),
    "FlowService.RegisterFlows": Shape(takes=(json(Sources),), answers=(json(Many(flow_pb2.Endpoint)),)),
    "FlowService.UnregisterFlows": Shape(takes=(json(Sources),)),
    "ProxyService.ReadApp": _APP,
    "ProxyService.WriteApp": _APP,
    "LockService.GetLock": Shape(answers=(json(list[Element]),)),
    "LockService.AnswerLock": Shape(
        takes=(json(dict[str, Any]),), answers=(json(LockTaken | LockRefused, _REFUSED),), headers=REPEATABLE
    ),
    "OutputsService.GetStatus": Shape(answers=(json(Status, _STATUS),)),
    "OutputsService.StreamEvents": Shape(answers=(SSE,), also=_SEEN, headers=_RESUME),
    "OutputsService.StreamMain": Shape(answers=(SSE,), also=_SEEN, headers=_RESUME),
    "OutputsService.StreamStdio": Shape(answers=(SSE,), also=_SEEN, headers=_RESUME),
    "OutputsService.GetRaw": Shape(
        answers=(json(dict[str, Any], {"Text": {"body": "Processing completed successfully."}}),)
    ),
    "OutputsService.GetHtml": Shape(answers=(HTML,)),
    "OutputsService.DeleteOutputs": Shape(takes=(json(Fids),)),
    "TimelineService.ListTimeline": Shape(answers=(json(TimelinePage),)),
    "TimelineService.ListChanges": Shape(answers=(json(TimelineChanges),)),
    "InputsService.GetForm": Shape(answers=(HTML,), also=_PAGES),
    "InputsService.PostForm": Shape(
        takes=forms(dict[str, str]), answers=(HTML,), also=_PAGES | _ELSEWHERE, headers=REPEATABLE
    ),
    "InputsService.GetLockForm": Shape(answers=(HTML,), also=_PAGES),
    "InputsService.PostLockForm": Shape(
        takes=forms(dict[str, str]), answers=(HTML,), also=_PAGES | _ELSEWHERE, headers=REPEATABLE
    ),
    "PageService.GetStart": Shape(answers=(HTML,)),
}

REFERENCE = Reference(
    title="kodosumi panel API",
    description="The API of the kodosumi panel: sign in, launch flows, follow executions, answer what they ask, and "
    "keep exposes.\n\n"
    "Sign in at `/login` or `/api/login`; then send `KODOSUMI_API_KEY` as a header, or the cookie.  A "
    "browser that is not signed in is sent to the sign-in page.",
    error=Error,
    shapes=SHAPES,
    values={
        "Endpoint.deprecated": bool | None,
        "Endpoint.author": str | None,
        "Endpoint.organization": str | None,
        "ListFlowsResponse.offset": str | None,
        "GetBootResponse.lock_time": float | None,
        "Expose.display": str | None,
        "Expose.network": str | None,
        "Expose.bootstrap": str | None,
        "Expose.meta": list[ExposeMeta] | None,
    },
    browsers_sign_in=True,
)
