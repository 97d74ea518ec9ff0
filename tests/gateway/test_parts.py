"""The gateway's small modules, by themselves."""

import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pydantic
import pytest
from google.api import httpbody_pb2
from google.protobuf import json_format, struct_pb2
from mesh.dialects.kodosumi.v1 import auth_pb2
from mesh.registry.v1 import registry_pb2
from mesh.runner.v1 import lock_pb2

from gateway.core import values
from gateway.dialects import SERVICES
from gateway.dialects.kodosumi import boot as kodosumi_boot
from gateway.dialects.kodosumi import expose as kodosumi_expose
from gateway.dialects.kodosumi import flow_urls
from gateway.edge import contract
from gateway.http import accept, bodies, cookies
from gateway.http import dialect as errors
from gateway.http.interceptor import bounded_json
from gateway.web.app import dialect_of
from meshkit import errors as mesh
from meshkit.rules import check_rules

Event = registry_pb2.BootEvent


class Asked:
    """A request, for the renderer."""

    method = "POST"
    target = "/expose/?a=1"
    path = "/expose/"
    query = "a=1"
    headers: Mapping[str, str] = {}


# -- the table -------------------------------------------------------------------------------------------------------


def test_every_dialect_service_of_the_contract_is_answered() -> None:
    """Once, and each method has a rule and a path."""
    known = {service.name: service for service in contract.services(contract.descriptors()) if service.is_dialect}
    names = [service.name for service in SERVICES]

    assert sorted(names) == sorted(known)
    for name in names:
        check_rules(name)
        for method in known[name].methods:
            assert method.bindings, f"{method.name} has no google.api.http"


def test_no_two_methods_have_the_same_path() -> None:
    """Envoy would take one of them."""
    bindings = [
        binding
        for service in contract.services(contract.descriptors())
        for method in service.methods
        for binding in method.bindings
    ]

    assert len(bindings) == len(set(bindings))


def test_every_dialect_has_a_way_to_say_errors() -> None:
    """Or its errors would leave as gRPC's own."""
    packages = {service.package for service in contract.services(contract.descriptors()) if service.is_dialect}

    assert packages <= {dialect.package for dialect in errors.DIALECTS}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/flow", ["GET"]),
        ("/flow/", ["GET"]),
        ("/role/x", ["DELETE", "GET", "PUT"]),
        ("/role/x/y", []),
        ("/-/a/b/c", ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]),
        ("/nothing", []),
    ],
)
def test_a_path_knows_its_methods(path: str, allowed: list[str]) -> None:
    """For the answer 405."""
    assert contract.Paths(contract.services(contract.descriptors())).allowed(path) == allowed


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "name", "detail"),
    [
        (mesh.NotFound("Expose 'x' not found"), 404, "NotFoundException", "Expose 'x' not found"),
        (mesh.Invalid("no"), 400, "ValidationException", "no"),
        (
            mesh.Invalid("no", {"a": ["b", "c"]}),
            400,
            "ValidationException",
            "Validation failed for POST /expose/?a=1: [{'message': 'b', 'key': 'a'}, {'message': 'c', 'key': 'a'}]",
        ),
        (mesh.Denied("only operators may call this"), 401, "NotAuthorizedException", "User not authorized"),
        (mesh.Unauthenticated("sign in first: …"), 401, "NotAuthorizedException", "Unauthorized"),
        (mesh.Unauthenticated("token has expired: …"), 401, "NotAuthorizedException", "Invalid token"),
        (mesh.Conflict("changed"), 409, "HTTPException", "409: changed"),
        (mesh.AlreadyExists("taken"), 409, "HTTPException", "409: taken"),
        (mesh.FailedPrecondition("busy"), 409, "HTTPException", "409: busy"),
        (mesh.Exhausted("slow", 2.4), 429, "TooManyRequestsException", "429: slow"),
        (mesh.Unavailable("away"), 503, "ServiceUnavailableException", "503: away"),
        (mesh.DeadlineExceeded("late"), 504, "HTTPException", "504: late"),
        (mesh.Internal("ours"), 500, "InternalServerException", "500: ours"),
        (errors.HttpError(413, "much"), 413, "HTTPException", "413: much"),
    ],
)
def test_an_error_in_the_panels_shape(error: mesh.MeshError, status: int, name: str, detail: str) -> None:
    """Four keys; the code in front of the detail where the panel has it."""
    rendered = errors.render_kodosumi(error, Asked())

    assert rendered.status == status
    assert rendered.body == {"error": name, "path": "/expose/", "detail": detail, "status_code": status}
    assert rendered.headers == ((("retry-after", "2"),) if status == 429 else ())


def test_an_error_fits_into_a_header() -> None:
    """ASCII, bounded, and still JSON with its short parts whole."""
    body = {"error": "X", "detail": "ü" * 100_000, "list": ["y" * 50_000]}
    text = bounded_json(body)

    assert text.isascii()
    assert len(text) <= 16 * 1024
    assert json.loads(text)["error"] == "X"
    assert json.loads(text)["detail"].startswith("üüü")
    assert bounded_json({"detail": "ü"}) == '{"detail": "\\u00fc"}'


@pytest.mark.parametrize("path", ["/nope", "/sumi/x", "/"])
def test_the_panel_answers_for_what_is_nobody_elses(path: str) -> None:
    """The first dialect of the table."""
    assert dialect_of(path) in (errors.KODOSUMI, errors.SUMI)


# -- requests --------------------------------------------------------------------------------------------------------


class Thing(pydantic.BaseModel):
    """Something to parse."""

    name: str
    sizes: list[int] = []


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/x+json", ""])
def test_json_is_read_under_its_names(kind: str) -> None:
    """A body without a content type is taken for JSON."""
    body = httpbody_pb2.HttpBody(content_type=kind, data=b'{"name": "x", "sizes": [1]}')

    assert bodies.parse_model(body, Thing) == Thing(name="x", sizes=[1])


@pytest.mark.parametrize(
    ("data", "key"),
    [(b'{"name": 1}', "name"), (b'{"name": "x", "sizes": [1, "y"]}', "sizes.1"), (b"NaN", "body"), (b"{} x", "body")],
)
def test_a_wrong_body_names_the_field(data: bytes, key: str) -> None:
    """Of nested ones the whole way."""
    with pytest.raises(mesh.Invalid) as caught:
        bodies.parse_model(httpbody_pb2.HttpBody(content_type="application/json", data=data), Thing)

    assert list(caught.value.fields) == [key]


def test_a_form_has_a_limit_of_fields() -> None:
    """A body of a million fields is refused."""
    body = httpbody_pb2.HttpBody(content_type="application/x-www-form-urlencoded", data=b"a=1&" * 5000)
    with pytest.raises(mesh.Invalid):
        bodies.parse_form(body)


@pytest.mark.parametrize("target", ["/", "/flow", "/a/b?c=d#e", "/%20"])
def test_a_path_on_this_server_is_a_redirect(target: str) -> None:
    """It is returned as it is."""
    assert cookies.check_redirect(target) == target


@pytest.mark.parametrize("target", ["//a", "/\\a", "http://a", "a", "", "/a\r\nset-cookie: x", "/ü", "/" + "a" * 3000])
def test_anything_else_is_not(target: str) -> None:
    """Not another server, not a second header."""
    with pytest.raises(mesh.Invalid):
        cookies.check_redirect(target)


@pytest.mark.parametrize(
    ("header", "wanted", "html"),
    [
        ("", "", False),
        ("*/*", "", False),
        ("text/html", "", True),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "", True),
        ("application/json, text/html", "", False),
        ("text/html;q=0.2, application/json;q=0.1", "", True),
        ("text/*", "", True),
        ("text/html;q=x", "", False),
        ("text/html", "json", False),
        ("*/*", "html", True),
    ],
)
def test_who_prefers_html(header: str, wanted: str, html: bool) -> None:
    """`?format=` wins; JSON wins a draw."""
    assert accept.prefers_html(header, wanted) is html


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/-/localhost/8005/prime/-", ("prime", "/")),
        ("/-/localhost/8005/prime/-/", ("prime", "/")),
        ("/-/h/1/prime/-/async", ("prime", "/async")),
        ("/-/h/1/prime/-/a/-/b%20c/", ("prime", "/a/-/b c/")),
        ("/-/prime", ("prime", "/")),
        ("/-/prime/async", ("prime", "/async")),
        ("/-/", ("", "/")),
    ],
)
def test_a_proxied_path_names_an_expose(path: str, expected: tuple[str, str]) -> None:
    """In the seed's form and in the short one."""
    assert flow_urls.split(path) == expected


@pytest.mark.parametrize("flow", ["flows/prime", "flows/prime/async", "flows/x/a/b"])
def test_a_flows_url_leads_back_to_it(flow: str) -> None:
    """Whatever the depth."""
    expose, path = flow_urls.split(flow_urls.flow_url(flow))

    assert f"flows/{expose}{path}".rstrip("/") == flow


# -- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", [None, True, 1, 1.5, "x", [], {}, [None, {"a": [1]}]])
def test_a_value_says_what_json_says(item: Any) -> None:
    """null is there, not absent."""
    assert json_format.MessageToDict(values.value(item)) == item
    assert values.value(item).WhichOneof("kind") is not None


def test_an_array_prints_every_field() -> None:
    """As the transcoder does."""
    printed: object = json_format.MessageToDict(values.array([auth_pb2.Role(id="1", name="x")]))

    assert printed == [{"id": "1", "name": "x", "email": "", "active": False}]
    assert values.array([]) == struct_pb2.ListValue()


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner], lambda inner: [{"a": inner}]])
def test_a_struct_that_is_made_arrives(wrap: Callable[[Any], Any]) -> None:
    """Whatever nesting is let through can be read on the other side; what is deeper or rounded is refused."""
    item: Any = "x"
    for _ in range(10):
        item = wrap(item)
        made = values.struct({"items": item}, "input_data")
        request = lock_pb2.AnswerLockRequest(name="x", inputs=made)
        assert lock_pb2.AnswerLockRequest.FromString(request.SerializeToString()) == request
    for depth in range(100):
        item = wrap(item)
        with contextlib.suppress(mesh.Invalid):
            made = values.struct({"items": item}, "input_data")
            assert depth < 30
            request = lock_pb2.AnswerLockRequest(name="x", inputs=made)
            assert lock_pb2.AnswerLockRequest.FromString(request.SerializeToString()) == request
    with pytest.raises(mesh.Invalid) as caught:
        values.struct({"items": item}, "input_data")
    assert list(caught.value.fields) == ["input_data"]
    with pytest.raises(mesh.Invalid):
        values.struct({"n": -(2**60)}, "input_data")
    assert json_format.MessageToDict(values.struct({"n": None, "t": True, "f": 1.5}, "x")) == {
        "n": None,
        "t": True,
        "f": 1.5,
    }


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Event(kind=Event.KIND_STEP_START, step="DEPLOY", message="Starting"), "▶ [DEPLOY] Starting"),
        (Event(kind=Event.KIND_STEP_END, message="Done"), "✓ Done"),
        (Event(kind=Event.KIND_COMPLETE, message="Boot completed"), "✔ Boot completed"),
        (Event(kind=Event.KIND_ERROR, message="Boot failed"), "✗ Boot failed"),
        (Event(kind=Event.KIND_WARNING, target="x", message="trouble"), "⚠ [x] trouble"),
        (Event(kind=Event.KIND_INFO, message="Boot started"), "ℹ Boot started"),
        (Event(kind=Event.KIND_ACTIVITY, target="x", message="Loading", result="OK"), "  • [x] Loading → OK"),
        (Event(kind=Event.KIND_ACTIVITY, message="POST"), "  • POST"),
        (
            Event(kind=Event.KIND_RESULT, message="serve deploy command", result="success"),
            "  serve deploy command → success",
        ),
        (Event(kind=Event.KIND_RESULT, target="x", message="two\nlines"), "  [x] two lines"),
    ],
)
def test_an_event_of_a_boot_is_a_line(event: registry_pb2.BootEvent, line: str) -> None:
    """With its glyph (spec §6.2)."""
    assert kodosumi_boot.line_of(event) == line


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ("", ["name", "description", "tags", "author.name", "author.organization"]),
        ("display: X\ndescription: Y\ntags: [a]\nauthor: {name: Z, organization: O}", []),
        ("display: X\ndescription: Y\ntags: [a]\nauthor: Z", ["author.name", "author.organization"]),
        ("]", ["name", "description", "tags", "author.name", "author.organization"]),
    ],
)
def test_what_a_flows_meta_should_say(data: str, missing: list[str]) -> None:
    """The panel's list of fields."""
    assert kodosumi_expose.missing_fields(data) == missing
