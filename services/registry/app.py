"""The registry's parts put together."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable

import grpc
from agentmesh_protos.registry.v1 import agent_pb2_grpc, crew_pb2_grpc, definition_pb2_grpc, tool_pb2_grpc
from agentmesh_protos.registry.v1 import registry_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import app_pb2_grpc

from meshkit import buses, client, server
from meshkit.clock import utc_now
from meshkit.databases import Memory, PostgresDatabase, SqliteFolder
from meshkit.identity import ServiceIdentity
from meshkit.service import authenticated, from_environment
from meshkit.sqlite import Database
from meshkit.tasks import Tasks, background, lasting
from meshkit.telemetry import observability
from meshkit.turns import ALONE, Turns
from services.registry.boot.booter import Booter, Limits
from services.registry.boot.probes import Probes, Rounds
from services.registry.boot.records import Records
from services.registry.boot.runs import Runs
from services.registry.bootstraps import Bootstraps, sealing
from services.registry.catalogue.agents import Agents
from services.registry.catalogue.board import Board
from services.registry.catalogue.crews import Crews
from services.registry.catalogue.exposes import Exposes
from services.registry.catalogue.flows import Flows
from services.registry.catalogue.keeping import Keeper
from services.registry.catalogue.targets import Targets
from services.registry.catalogue.taskdefs import TaskDefs
from services.registry.catalogue.tools import Tools
from services.registry.config import Config
from services.registry.peers.runner import RunnerApps
from services.registry.ports.definitions import DefinitionStore
from services.registry.ports.exposes import ExposeStore
from services.registry.servicers.agents import AgentServicer
from services.registry.servicers.boots import BootServicer
from services.registry.servicers.crews import CrewServicer, TaskDefServicer
from services.registry.servicers.definitions import DefinitionServicer
from services.registry.servicers.exposes import ExposeServicer
from services.registry.servicers.flows import FlowServicer
from services.registry.servicers.tools import ToolServicer
from services.registry.standings import Standings
from services.registry.stores.announcing import AnnouncingStore
from services.registry.stores.memory import MemoryStore
from services.registry.stores.memory_definitions import MemoryDefinitions
from services.registry.stores.sqlite import MIGRATIONS, SqliteStore
from services.registry.stores.sqlite_definitions import SqliteDefinitions

SERVICES = (
    "mesh.registry.v1.ExposeService",
    "mesh.registry.v1.BootService",
    "mesh.registry.v1.FlowService",
    "mesh.registry.v1.AgentService",
    "mesh.registry.v1.CrewService",
    "mesh.registry.v1.TaskDefService",
    "mesh.registry.v1.ToolService",
    "mesh.registry.v1.DefinitionService",
)


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *,
    now: Callable[[], datetime.datetime] = utc_now,
    stopping: asyncio.Event | None = None,
) -> AsyncIterator[int]:
    """Run the registry for the length of the block; yield its port.  `stopping` is set if a part of it is lost."""
    async with contextlib.AsyncExitStack() as stack:
        bus, tasks = await stack.enter_async_context(buses.opened(config, "registry", stopping)), Tasks()
        kept, definitions, turns = await _stores(config, stack)
        store = AnnouncingStore(kept, bus, tasks)
        stack.push_async_callback(tasks.close)
        who = ServiceIdentity(config.secret, "registry")
        channel = await stack.enter_async_context(client.connect(config.peer("runner"), who))
        runner = RunnerApps(app_pb2_grpc.AppServiceStub(channel), now, patience_s=config.runner_patience_s)
        apps = Standings(runner, bus)
        runs = Runs(now, turns)
        limits = Limits(
            deploy_timeout_s=config.boot_timeout_s,
            deploys_at_once=config.boot_parallel,
            probe_timeout_s=config.probe_timeout_s,
        )
        records = Records(store, now)
        bootstraps = Bootstraps(config.vault)
        booter = Booter(apps, records, runs, bootstraps, limits, on_ray=config.placement == "ray")
        rounds = Rounds(records, apps, Probes(apps, timeout_s=config.look_timeout_s), every_s=config.look_s)
        await stack.enter_async_context(background(turns.run("flow-rounds", rounds.run), "flow-rounds", stopping))
        exposes, flows = Exposes(store, apps, bootstraps, now), Flows(store, apps)
        board = Board(store, apps, bus, heartbeat_s=config.heartbeat_s)
        await stack.enter_async_context(background(apps.run(), "standings", stopping))
        await stack.enter_async_context(background(lasting(board.run), "flow-board", stopping))
        auth = await stack.enter_async_context(authenticated(config, "registry"))

        keeper = Keeper(config.vault)
        agents, crews = Agents(definitions, keeper, now), Crews(definitions, keeper, now)
        task_defs = TaskDefs(definitions, now)
        private = config.tools_private_endpoints == "allow"
        tools = Tools(definitions, keeper, now, private_endpoints=private)
        targets = Targets(definitions, keeper)

        def register(to: grpc.aio.Server) -> None:
            pb_grpc.add_ExposeServiceServicer_to_server(ExposeServicer(exposes, rounds, config.secret), to)
            pb_grpc.add_BootServiceServicer_to_server(BootServicer(booter, runs), to)
            pb_grpc.add_FlowServiceServicer_to_server(FlowServicer(flows, board), to)
            agent_pb2_grpc.add_AgentServiceServicer_to_server(AgentServicer(agents, config.secret), to)
            crew_pb2_grpc.add_CrewServiceServicer_to_server(CrewServicer(crews, config.secret), to)
            crew_pb2_grpc.add_TaskDefServiceServicer_to_server(TaskDefServicer(task_defs, config.secret), to)
            tool_pb2_grpc.add_ToolServiceServicer_to_server(ToolServicer(tools, config.secret), to)
            definition_pb2_grpc.add_DefinitionServiceServicer_to_server(DefinitionServicer(targets), to)

        served = server.serve(
            config.at("registry"), SERVICES, register, auth, bus=bus, grace_s=config.grace_s, wires=config.wires
        )
        port = await stack.enter_async_context(served)
        # Before the server stops: it waits for streams, and those wait for the boot and the bus.
        stack.push_async_callback(runs.close)
        stack.callback(bus.close)
        yield port


async def _stores(config: Config, stack: contextlib.AsyncExitStack) -> tuple[ExposeStore, DefinitionStore, Turns]:
    match config.database:
        case Memory():
            return MemoryStore(), MemoryDefinitions(), ALONE
        case PostgresDatabase() as place:
            from services.registry.stores import postgres  # its driver is an extra

            return await stack.enter_async_context(postgres.opened(place))
        case SqliteFolder() as folder:
            database = Database(folder.file("registry"), MIGRATIONS, sealing(config.vault))
            database.open()
            stack.push_async_callback(database.close)
            return SqliteStore(database), SqliteDefinitions(database), ALONE


async def main() -> None:
    """Serve until told to stop."""
    config = from_environment(Config)
    observability.configure("registry", config.log_level, config.telemetry)
    stopping = asyncio.Event()
    async with running(config, stopping=stopping):
        await server.until_signal(stopping)
