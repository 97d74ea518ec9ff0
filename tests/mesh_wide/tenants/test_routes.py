"""Every REST route of the contract, called by who has no business there.

Path variables and fields of bodies that name something take what is Ada's; the rest of a body is the least that its
schema allows.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from mesh.gateway.v1 import options_pb2

from gateway import openapi
from gateway.edge import contract
from tests.mesh_wide.panel import Panel
from tests.mesh_wide.tenants.belongings import SECRET, Belongings

SAID_S = 2.0
"""How long an answer is listened to: a stream that is allowed has no end."""
BYTES_MAX = 2_000_000
DIALECTS = sorted(openapi.documents())
FREE = (options_pb2.ACCESS_PUBLIC, options_pb2.ACCESS_LOCAL)
"""Whoever has no token may call these; what they see of Ada's is tried all the same."""
LEFT_OUT = ("/-/{proxy_path=**}",)
"""Leads into an app, which answers for itself: tests/gateway/dialects/kodosumi/test_flows.py."""
OWN = re.compile("/memory(:|$)")
"""What is asked for narrows what is the caller's own: nothing, but no error."""
AS_SEEDS_HAVE_IT = ("POST /sumi/lock/{fid}/{lid}",)
"""Answers 201 whatever happens; what happened is in the body."""
SIGNING = re.compile("/(Submit)?Log(in|out)$")
"""Would end the session, or be counted as guessing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A way to call a method."""

    method: contract.Method
    verb: str
    template: str
    dialect: str

    def __str__(self) -> str:
        return f"{self.verb} {self.template}"

    @property
    def variables(self) -> list[str]:
        """What its path leaves open."""
        return re.findall(r"\{([^}]*)\}", self.template)

    def names_something_of(self, tenant: Belongings) -> bool:
        """Whether its path names something that the tenant has, so that others must not find it."""
        if OWN.search(self.template) or str(self) in AS_SEEDS_HAVE_IT:
            return False
        return any(tenant.path_value(self.dialect, variable) for variable in self.variables)

    def path(self, tenant: Belongings) -> str:
        """Return the path to what is the tenant's."""

        def fill(match: re.Match[str]) -> str:
            prefix = match[1].partition("=")[2].partition("*")[0]
            return tenant.path_value(self.dialect, match[1]) or f"{prefix}errand"

        return re.sub(r"\{([^}]*)\}", fill, self.template)


def routes(dialect: str) -> Iterator[Route]:
    """Return every route of a dialect."""
    for service in contract.services(contract.descriptors()):
        for method in service.methods if service.dialect == dialect else ():
            for verb, template in method.bindings:
                if template not in LEFT_OUT and not SIGNING.search(method.name):
                    yield Route(method, verb, template, dialect)


@functools.cache
def operations(dialect: str) -> Mapping[str, Any]:
    """Return the operations of a dialect's reference, by their ids."""
    document = openapi.documents()[dialect]
    return {
        one["operationId"]: {**one, "root": document} for path in document["paths"].values() for one in path.values()
    }


def body(route: Route, tenant: Belongings) -> Any:
    """Return what the reference wants in the body, with the tenant's names; `None` for none."""
    service, _, method = route.method.name.rpartition("/")
    operation = operations(route.dialect).get(f"{service.rpartition('.')[2].removesuffix('Service')}_{method}", {})
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return _example(content["schema"], operation["root"], tenant.ids(route.dialect), "") if content else None


def _example(schema: Mapping[str, Any], root: Mapping[str, Any], ids: Mapping[str, str], name: str) -> Any:
    while "$ref" in schema:
        schema = functools.reduce(lambda node, key: node[key], schema["$ref"].removeprefix("#/").split("/"), root)
    if name in ids:
        return ids[name]
    for key in ("const", "default", "example"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _example(schema[key][0], root, ids, name)
    kind = schema.get("type", "object")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            wanted = {*schema.get("required", ()), *(set(schema.get("properties", ())) & set(ids))}
            return {key: _example(schema.get("properties", {}).get(key, {}), root, ids, key) for key in sorted(wanted)}
        case "array":
            return [_example(schema["items"], root, ids, name)] if schema.get("minItems") else []
        case "string":
            return "something" if schema.get("format") != "uri" else "https://example.com/"
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return schema.get("minimum", 1)


def call(http: httpx.Client, route: Route, tenant: Belongings) -> tuple[int, str]:
    """Return the status of an answer, and its headers and body as far as they come in time."""
    sent = body(route, tenant)
    more = {} if sent is None else {"json": sent}
    headers = {"accept": "application/json"}
    timeout = httpx.Timeout(30, read=SAID_S)
    said = b""
    with http.stream(route.verb, route.path(tenant), headers=headers, timeout=timeout, **more) as answer:
        try:
            for chunk in answer.iter_bytes():
                said += chunk
                if len(said) > BYTES_MAX:
                    break
        except httpx.ReadTimeout:
            pass  # a stream that lives
        return answer.status_code, f"{answer.headers}\n{said.decode(errors='replace')}"


def faults(route: Route, status: int, said: str, ada: Belongings) -> Iterator[str]:
    """Say what is wrong with an answer to who is not Ada."""
    if ada.canary in said:
        yield f"{route} tells of Ada's: {said[:300]}"
    if SECRET in said:
        yield f"{route} tells a secret"
    if status >= 500:
        yield f"{route} answers {status}: {said[:300]}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_another_tenant(ada: Belongings, ben: Belongings, dialect: str) -> None:
    """Sees nothing of Ada's, and changes nothing: what is hers does not exist."""
    before = ada.snapshot()
    wrong: list[str] = []

    for route in routes(dialect):
        status, said = call(ben.panel.http, route, ada)
        wrong += faults(route, status, said, ada)
        if route.method.access != options_pb2.ACCESS_PUBLIC and route.names_something_of(ada) and status < 400:
            wrong.append(f"{route} answers {status}: {said[:300]}")
        if route.method.access == options_pb2.ACCESS_OPERATOR and status not in (401, 403):
            wrong.append(f"{route} is for operators: {status}")

    assert not wrong, "\n".join(wrong)
    assert before == ada.snapshot()
    assert ben.panel.http.get("/mesh/v1/self").status_code == 200, "the session ended on the way"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_has_no_login(ada: Belongings, nobody: httpx.Client, dialect: str) -> None:
    """Gets 401 from whatever is not for anybody, and sees nothing of Ada's in what is."""
    before = ada.snapshot()
    wrong: list[str] = []

    for route in routes(dialect):
        status, said = call(nobody, route, ada)
        wrong += faults(route, status, said, ada)
        if route.method.access not in FREE and status != 401:
            wrong.append(f"{route} answers {status}: {said[:300]}")
        if route.method.access == options_pb2.ACCESS_LOCAL and route.names_something_of(ada) and status < 400:
            wrong.append(f"{route} answers {status}: {said[:300]}")

    assert not wrong, "\n".join(wrong)
    assert before == ada.snapshot()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_operator(ada: Belongings, admin: Panel, dialect: str) -> None:
    """Reads no secret anywhere, and breaks nothing by reading."""
    wrong: list[str] = []

    for route in routes(dialect):
        if route.verb == "GET":
            status, said = call(admin.http, route, ada)
            wrong += [f"{route} tells a secret"] * (SECRET in said)
            wrong += [f"{route} answers {status}: {said[:300]}"] * (status >= 500)

    assert not wrong, "\n".join(wrong)
