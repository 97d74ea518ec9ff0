"""A registry with its peers, each on a port of its own."""

import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.registry.v1 import registry_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import app_pb2, app_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from services.registry import app
from services.registry.config import Config
from tests.registry.peers import Auth, Module, Runner, serving

Metadata = tuple[tuple[str, str], ...]


@dataclasses.dataclass
class Mesh:
    """What a test talks to."""

    @classmethod
    def over(cls, channel: grpc.aio.Channel, peers: "Peers", port: int = 0) -> "Mesh":
        """Talk to the registry behind `channel`."""
        return cls(
            config=peers.config,
            runner=peers.runner,
            port=port,
            exposes=pb_grpc.ExposeServiceStub(channel),
            boots=pb_grpc.BootServiceStub(channel),
            flows=pb_grpc.FlowServiceStub(channel),
            operator=(("authorization", f"Bearer {peers.auth.token(operator=True)}"),),
            user=(("authorization", f"Bearer {peers.auth.token(operator=False)}"),),
        )

    config: Config
    runner: Runner
    port: int
    exposes: pb_grpc.ExposeServiceStub
    boots: pb_grpc.BootServiceStub
    flows: pb_grpc.FlowServiceStub
    operator: Metadata
    user: Metadata

    async def save(
        self,
        name: str,
        bootstrap: str = "",
        *,
        enabled: bool = True,
        meta: list[pb.FlowMeta] | None = None,
        etag: str = "",
        network: str | None = None,
        display_name: str | None = None,
        original_name: str = "",
        request_id: str = "",
    ) -> pb.Expose:
        """Save an expose as an operator."""
        expose = pb.Expose(
            name=f"exposes/{name}",
            enabled=enabled,
            bootstrap=bootstrap,
            meta=meta or [],
            has_meta=meta is not None,
            etag=etag,
            network=network,
            display_name=display_name,
        )
        request = pb.SaveExposeRequest(expose=expose, original_name=original_name, request_id=request_id)
        saved: pb.Expose = await self.exposes.SaveExpose(request, metadata=self.operator, timeout=30)
        return saved

    async def get(self, name: str) -> pb.Expose:
        """Return an expose as an operator."""
        request = pb.GetExposeRequest(name=f"exposes/{name}")
        expose: pb.Expose = await self.exposes.GetExpose(request, metadata=self.operator, timeout=30)
        return expose

    async def boot(self, *, force: bool = False) -> list[pb.BootEvent]:
        """Boot, and return what it said."""
        call = self.boots.StartBoot(pb.StartBootRequest(force=force), metadata=self.operator, timeout=60)
        return [event async for event in call]

    async def stop(self) -> list[pb.BootEvent]:
        """Stop every app, and return what was said."""
        call = self.boots.StopApps(pb.StopAppsRequest(), metadata=self.operator, timeout=60)
        return [event async for event in call]

    async def refresh(self, name: str) -> list[pb.BootEvent]:
        """Refresh an expose, and return what was said."""
        request = pb.RefreshExposeRequest(name=f"exposes/{name}")
        return [event async for event in self.boots.RefreshExpose(request, metadata=self.operator, timeout=60)]

    async def delete(self, name: str) -> None:
        """Delete an expose as an operator."""
        request = pb.DeleteExposeRequest(name=f"exposes/{name}")
        await self.exposes.DeleteExpose(request, metadata=self.operator, timeout=30)

    async def list_flows(self, query: str = "", page_size: int = 0, page_token: str = "") -> pb.ListFlowsResponse:
        """Return a page of flows, as an ordinary user."""
        request = pb.ListFlowsRequest(query=query, page_size=page_size, page_token=page_token)
        answer: pb.ListFlowsResponse = await self.flows.ListFlows(request, metadata=self.user, timeout=30)
        return answer

    async def get_flow(self, name: str) -> pb.Flow:
        """Return a flow, as an ordinary user."""
        flow: pb.Flow = await self.flows.GetFlow(pb.GetFlowRequest(name=name), metadata=self.user, timeout=30)
        return flow


def said(event: pb.BootEvent) -> str:
    """Return a fact in short: its name and fields, but neither zeros nor how long anything took.

    `flow_checked expose=shop url=/shop/ http_status=200 alive=True`
    """
    field = event.WhichOneof("fact")
    assert field is not None
    return " ".join([field, *_fields(getattr(event, field))])


def _fields(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if isinstance(value, pb.BootCounts):
            yield from _fields(value)
        elif isinstance(value, Duration):
            continue
        elif field.enum_type is not None:
            name = field.enum_type.values_by_number[value].name
            yield f"{field.name}={name.rpartition('STATE_' if 'STATE_' in name else '_')[2]}"
        elif field.is_repeated:
            yield f"{field.name}={','.join(value)}"
        else:
            yield f"{field.name}={str(value).removeprefix('exposes/')}"


@dataclasses.dataclass
class Peers:
    """The registry's peers, and what it needs to be told of them."""

    config: Config
    runner: Runner
    auth: Auth

    @contextlib.asynccontextmanager
    async def registry(self) -> AsyncIterator[Mesh]:
        """Run a registry on a free port; after it ends, run another on the same data."""
        async with app.running(self.config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Mesh.over(channel, self, port)


@pytest.fixture
async def peers(tmp_path: pathlib.Path) -> AsyncIterator[Peers]:
    """Run the peers."""
    auth, runner = Auth(), Runner()  # type: ignore[abstract]  # the registry wants whole answers only
    runner.modules["shop:app"] = Module(
        flows=[
            app_pb2.FlowInfo(path="/", method="GET", summary="Shop", description="Buys", tags=["buy", "demo"]),
            app_pb2.FlowInfo(path="/async", method="GET", summary="Async shop", author="Ada", organization="Org"),
        ]
    )
    runner.modules["form:app"] = Module(flows=[app_pb2.FlowInfo(path="/text", method="GET", summary="Text")])
    async with contextlib.AsyncExitStack() as stack:
        auth_server, runner_server = grpc.aio.server(), grpc.aio.server()
        auth.add_to(auth_server)
        app_pb2_grpc.add_AppServiceServicer_to_server(runner, runner_server)
        config = Config(
            data_dir=tmp_path,
            registry_address="127.0.0.1:0",
            auth_address=await stack.enter_async_context(serving(auth_server)),
            runner_address=await stack.enter_async_context(serving(runner_server)),
            grace_s=1,
        )
        yield Peers(config, runner, auth)


@pytest.fixture
async def mesh(peers: Peers) -> AsyncIterator[Mesh]:
    """Run a registry with its peers."""
    async with peers.registry() as mesh:
        yield mesh
