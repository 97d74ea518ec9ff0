"""Every gRPC method of the contract, called at the front door by who has no business there.

Fields that name something take what is Ada's; the rest of a request is empty, so that nothing but the right to call is
left to decide.
"""

import functools
from collections.abc import Callable, Iterator

import grpc
import pytest
from agentmesh_protos.gateway.v1 import options_pb2
from google.protobuf import descriptor, descriptor_pool, message_factory
from google.protobuf.message import Message

from agentmesh.testing import Mesh
from gateway.edge import contract
from tests.mesh_wide.panel import Panel
from tests.mesh_wide.tenants.belongings import SECRET, Belongings

DEADLINE_S = 60.0
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
INNER = (options_pb2.ACCESS_SERVICE, options_pb2.ACCESS_HOST)
NOUNS = {"Agent": "agents", "Crew": "crews", "TaskDef": "taskDefs", "Tool": "tools", "Job": "jobs", "Lock": "locks"}
NOUNS |= {
    "Conversation": "conversations",
    "User": "users",
    "Payment": "payments",
    "Schedule": "schedules",
    "Webhook": "webhooks",
    "File": "files",
}
SERVICES = {service.name: service for service in contract.services(contract.descriptors())}
"""Of the contract, by name."""


@functools.cache
def methods(service: str) -> dict[str, descriptor.MethodDescriptor]:
    """Return the methods of a service, by `/package.Service/Method`."""
    contract.import_all(contract.descriptors())
    found = descriptor_pool.Default().FindServiceByName(service)
    return {f"/{service}/{method.name}": method for method in found.methods}


def request(method: descriptor.MethodDescriptor, ada: Belongings) -> bytes:
    """Return a request for what is Ada's."""
    sent = message_factory.GetMessageClass(method.input_type)()
    noun = method.containing_service.name.removesuffix("Service")
    dialect = SERVICES[method.containing_service.full_name].dialect
    _fill(sent, {**ada.ids(dialect), "name": ada.names.get(NOUNS.get(noun, ""), ""), **_scopes(ada)})
    return bytes(sent.SerializeToString())


def _scopes(ada: Belongings) -> dict[str, str]:
    return {"parent": ada.names["jobs"], "scope": ada.names["agents"]}


def _fill(sent: Message, names: dict[str, str], depth: int = 3) -> None:
    for field in sent.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        if field.type == field.TYPE_STRING and names.get(field.name):
            setattr(sent, field.name, names[field.name])
        elif (inner := field.message_type) is not None and depth and inner.full_name.startswith("mesh."):
            _fill(getattr(sent, field.name), names, depth - 1)


def call(channel: grpc.Channel, method: contract.Method, sent: bytes, token: str) -> tuple[grpc.StatusCode, str]:
    """Return the code of a call's end and what it said; OK for a stream that has said something, which is cut."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    said: list[bytes] = []
    answers = channel.unary_stream(method.name)(sent, metadata=metadata, timeout=DEADLINE_S)
    try:
        for answer in answers:
            said.append(answer)
            if method.streams:
                answers.cancel()
                break
    except grpc.RpcError as error:
        return error.code(), f"{error.details()}{b''.join(said).decode(errors='replace')}"
    return grpc.StatusCode.OK, b"".join(said).decode(errors="replace")


@pytest.fixture(scope="module")
def door(mesh: Mesh) -> Iterator[grpc.Channel]:
    """Return a channel to the front door."""
    with grpc.insecure_channel(mesh.url.removeprefix("http://")) as channel:
        yield channel


Judge = Callable[[contract.Method, grpc.StatusCode, str], str]
"""Says what is wrong with an answer; empty for nothing."""


def run(door: grpc.Channel, service: str, token: str, ada: Belongings, judge: Judge) -> list[str]:
    """Call every method of a service; return what is wrong."""
    wrong = []
    for method in SERVICES[service].methods:
        if method.name.rpartition("/")[2] in ("Login", "Logout", "SubmitLogout", "SubmitLogin"):
            continue  # would end the session, or be counted as guessing
        code, said = call(door, method, request(methods(service)[method.name], ada), token)
        found = [
            "tells of Ada's" * (ada.canary in said),
            "tells a secret" * (SECRET in said),
            f"breaks: {said[:300]}" * (code in BROKEN),
            judge(method, code, said),
        ]
        wrong += [f"{method.name}: {code.name}: {fault}" for fault in found if fault]
    return wrong


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_another_tenant(door: grpc.Channel, ada: Belongings, ben: Belongings, service: str) -> None:
    """Is refused what is for operators or the mesh's own, and finds and changes nothing that is Ada's."""
    before = ada.snapshot()

    def judge(method: contract.Method, code: grpc.StatusCode, said: str) -> str:
        denied = method.access in (*INNER, options_pb2.ACCESS_OPERATOR)
        return "is not refused" if denied and code not in (DENIED, UNAUTHENTICATED) else ""

    assert not run(door, service, ben.panel.token, ada, judge)
    assert before == ada.snapshot()
    assert ben.panel.http.get("/mesh/v1/self").status_code == 200, "the session ended on the way"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_who_has_no_login(door: grpc.Channel, ada: Belongings, service: str) -> None:
    """Is told so by whatever is not for anybody."""
    before = ada.snapshot()

    def judge(method: contract.Method, code: grpc.StatusCode, said: str) -> str:
        if method.access in (options_pb2.ACCESS_PUBLIC, options_pb2.ACCESS_LOCAL):
            return ""
        wanted = (UNAUTHENTICATED, DENIED) if method.access in INNER else (UNAUTHENTICATED,)
        return "is not refused" if code not in wanted else ""

    assert not run(door, service, "", ada, judge)
    assert before == ada.snapshot()


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_an_operator(door: grpc.Channel, ada: Belongings, admin: Panel, service: str) -> None:
    """Is no service and no host, and reads no secret; what changes something is left alone."""
    wrong = []
    for method in SERVICES[service].methods:
        reads = method.name.rpartition("/")[2].startswith(("Get", "List", "Count", "Search", "Watch"))
        if method.access not in INNER and not reads:
            continue
        code, said = call(door, method, request(methods(service)[method.name], ada), admin.token)
        if method.access in INNER and code not in (DENIED, UNAUTHENTICATED):
            wrong.append(f"{method.name}: {code.name}: is not refused")
        if SECRET in said or code in BROKEN:
            wrong.append(f"{method.name}: {code.name}: {said[:300]}")

    assert not wrong
