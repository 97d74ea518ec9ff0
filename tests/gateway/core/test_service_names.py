"""What flows are called as services."""

import pytest
from agentmesh_protos.registry.v1 import registry_pb2
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import service_names


def flow(path: str, expose: str = "x") -> registry_pb2.Flow:
    """Return a flow at a path."""
    return registry_pb2.Flow(expose=f"exposes/{expose}", path=path)


def ids(*paths: str) -> dict[str, str]:
    """Return the ids of the flows at these paths, by path."""
    return {flow.path: service for service, flow in service_names.by_id(map(flow, paths)).items()}


@pytest.mark.parametrize(
    ("path", "service"),
    [("/", "x"), ("/async", "x/async"), ("/deep/My  Run!", "x/my-run"), ("/Upper", "x/upper"), ("/a_b", "x/a_b")],
)
def test_alone_a_flow_has_the_name_that_kodosumi_gives_it(path: str, service: str) -> None:
    """The last segment of its path."""
    assert {path: service} == ids(path)


def test_of_two_with_one_name_one_has_it() -> None:
    """The first by path, unless it is the whole path of the other; the name of the other is its own."""
    assert {"/a/one": "x/one", "/b/one": f"x/{service_names.lasting('/b/one')}"} == ids("/b/one", "/a/one")
    assert {"/one": "x/one", "/a/one": f"x/{service_names.lasting('/a/one')}"} == ids("/a/one", "/one")
    assert {"/one": "x/one", "/One": f"x/{service_names.lasting('/One')}"} == ids("/One", "/one")


@pytest.mark.parametrize("path", ["/日本語", "/-", "/_private", "/!", "/availability", "/a/start_job", "/status"])
def test_a_name_that_cannot_be_asked_for_is_not_given(path: str) -> None:
    """It would lead elsewhere, or nowhere."""
    assert {path: f"x/{service_names.lasting(path)}"} == ids(path)
    assert service_names.NAME.match(service_names.lasting(path))


@given(st.lists(st.text(alphabet="abA -_/é日", max_size=6), unique_by=lambda path: path.strip("/")))
def test_ids_are_one_to_one(paths: list[str]) -> None:
    """Every flow has one, no two have the same, and each is among the names that the flow may have."""
    found = service_names.by_id(flow(f"/{path.strip('/')}") for path in paths)

    assert len(paths) == len(found)
    for service, named in found.items():
        expose, _, name = service.partition("/")
        assert "x" == expose
        assert not name or service_names.NAME.match(name)
        assert name in service_names.names(named.path)
