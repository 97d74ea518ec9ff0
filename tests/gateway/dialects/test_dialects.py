"""What holds for every dialect."""

import json
import pathlib
from collections.abc import Mapping

import pytest

import gateway.dialects
from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.http.dialect import ROOT, Dialect, Dialects
from meshkit import errors as mesh
from meshkit.rules import check_rules

SERVICES = contract.services(contract.descriptors())
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


class Asked:
    """A request, for the renderer."""

    method = "POST"
    target = "/a/b?c=d"
    path = "/a/b"
    query = "c=d"
    headers: Mapping[str, str] = {}


def test_every_folder_is_a_dialect() -> None:
    """Under the name of its folder."""
    (root,) = gateway.dialects.__path__
    folders = {path.parent.name for path in pathlib.Path(root).glob("*/__init__.py")}

    assert folders == {dialect.name for dialect in DIALECTS}


def test_every_dialect_service_of_the_contract_is_answered() -> None:
    """Once, by the dialect of its package, and each method has a rule and a path."""
    known = {service.name: service for service in SERVICES if service.is_dialect}
    answered = [(service.name, dialect.package) for dialect in DIALECTS for service in dialect.services]

    assert sorted(answered) == sorted((name, service.package) for name, service in known.items())
    for name, service in known.items():
        check_rules(name)
        for method in service.methods:
            assert method.bindings, f"{method.name} has no google.api.http"


@each_dialect
def test_a_dialect_names_json_in_one_way(dialect: Dialect) -> None:
    """All files of its package say the same."""
    assert dialect.package.startswith(ROOT)
    assert len({service.camel for service in SERVICES if service.package == dialect.package}) <= 1


@each_dialect
@pytest.mark.parametrize(
    "error",
    [
        mesh.Invalid("no", {"field": ["why"]}),
        mesh.Unauthenticated("who?"),
        mesh.Denied("no"),
        mesh.NotFound("no"),
        mesh.Conflict("no"),
        mesh.Exhausted("slow", 2.4),
        mesh.Unavailable("away"),
        mesh.Internal("ours"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_one_in_every_dialect(dialect: Dialect, error: mesh.MeshError) -> None:
    """4xx if it is the caller's to mend, else 5xx, with a JSON object."""
    rendered = dialect.render(error, Asked())
    theirs = not isinstance(error, mesh.Unavailable | mesh.Internal)

    assert rendered.status // 100 == (4 if theirs else 5)
    assert json.loads(json.dumps(rendered.body)) == rendered.body


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "kodosumi"),
        ("/nope", "kodosumi"),
        ("/api/login", "kodosumi"),
        ("/api/nope", "kodosumi"),
        ("/sumi", "sumi"),
        ("/sumi/x/y/z", "sumi"),
        ("/sumimasen", "kodosumi"),
        ("/mip003/x/y/z", "mip003"),
        ("/mip0030", "kodosumi"),
        ("/api/v1/payment", "masumi"),
        ("/api/v1/payment/nope", "masumi"),
        ("/api/v1/dev/nope", "masumi"),
        ("/api/runtime/tasks", "koda"),
        ("/api/runtime/nope", "koda"),
        ("/api/control-plane/nope", "koda"),
        ("/api/v1/webhooks", "masumi"),
        ("/api/v1/wallet/low-balance", "masumi"),
        ("/mesh/v1/nope", "mesh"),
    ],
)
def test_a_path_is_somebodys(path: str, name: str) -> None:
    """By the contract; the panel answers for what is nobody else's."""
    assert name == Dialects(DIALECTS, SERVICES).of_path(path).name
