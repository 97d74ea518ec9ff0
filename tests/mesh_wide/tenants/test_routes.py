"""Every REST route of the contract, called by who has no business there.

Path variables and fields of bodies that name something take what is Ada's; the rest of a body is the least that its
schema allows.
"""

import re
from collections.abc import Iterator

import httpx
import pytest
from agentmesh_protos.gateway.v1 import options_pb2

from gateway import openapi
from tests.conformance.routes import Route, example, routes
from tests.mesh_wide.panel import Panel
from tests.mesh_wide.tenants.belongings import SECRET, Belongings

BYTES_MAX = 2_000_000
DIALECTS = sorted(openapi.documents())
FREE = (options_pb2.ACCESS_PUBLIC, options_pb2.ACCESS_LOCAL)
"""Whoever has no token may call these; what they see of Ada's is tried all the same."""
OWN = re.compile("/memory(:|$)")
"""What is asked for narrows what is the caller's own: nothing, but no error."""
AS_SEEDS_HAVE_IT = ("POST /sumi/lock/{fid}/{lid}",)
"""Answers 201 whatever happens; what happened is in the body."""
SIGNING = re.compile("/(Submit)?Log(in|out)$")
"""Would end the session, or be counted as guessing."""


def names_something_of(tenant: Belongings, route: Route) -> bool:
    """Return whether its path names something that the tenant has, so that others must not find it."""
    if OWN.search(route.template) or str(route) in AS_SEEDS_HAVE_IT:
        return False
    return any(tenant.path_value(route.dialect, variable) for variable in route.variables)


def path(route: Route, tenant: Belongings) -> str:
    """Return the path to what is the tenant's."""

    def fill(match: re.Match[str]) -> str:
        prefix = match[1].partition("=")[2].partition("*")[0]
        return tenant.path_value(route.dialect, match[1]) or f"{prefix}errand"

    return re.sub(r"\{([^}]*)\}", fill, route.template)


def tried(dialect: str) -> list[Route]:
    """Return the routes of a dialect that are tried."""
    return [route for route in routes(dialect) if not SIGNING.search(route.method.name)]


def call(http: httpx.Client, route: Route, tenant: Belongings) -> tuple[int, str]:
    """Return the status of an answer, and its headers and body: of a stream, what comes first."""
    sent = example(route, tenant.ids(route.dialect))
    more = {} if sent is None else {"json": sent}
    said = b""
    with http.stream(route.verb, path(route, tenant), headers={"accept": "application/json"}, **more) as answer:
        for chunk in answer.iter_bytes():
            said += chunk
            if len(said) > BYTES_MAX or (route.method.streams and answer.is_success):
                break
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

    for route in tried(dialect):
        status, said = call(ben.panel.http, route, ada)
        wrong += faults(route, status, said, ada)
        if route.method.access != options_pb2.ACCESS_PUBLIC and names_something_of(ada, route) and status < 400:
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

    for route in tried(dialect):
        status, said = call(nobody, route, ada)
        wrong += faults(route, status, said, ada)
        if route.method.access not in FREE and status != 401:
            wrong.append(f"{route} answers {status}: {said[:300]}")
        if route.method.access == options_pb2.ACCESS_LOCAL and names_something_of(ada, route) and status < 400:
            wrong.append(f"{route} answers {status}: {said[:300]}")

    assert not wrong, "\n".join(wrong)
    assert before == ada.snapshot()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_operator(ada: Belongings, admin: Panel, dialect: str) -> None:
    """Reads no secret anywhere, and breaks nothing by reading."""
    wrong: list[str] = []

    for route in tried(dialect):
        if route.verb == "GET":
            status, said = call(admin.http, route, ada)
            wrong += [f"{route} tells a secret"] * (SECRET in said)
            wrong += [f"{route} answers {status}: {said[:300]}"] * (status >= 500)

    assert not wrong, "\n".join(wrong)
