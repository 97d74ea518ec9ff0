"""Wiring of the auth service: the only module that knows every other."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc

from meshkit import buses
from meshkit.access import Auth
from meshkit.databases import Memory, PostgresDatabase, SqliteFolder
from meshkit.server import serve, until_signal
from meshkit.service import from_environment
from meshkit.sqlite import Database
from meshkit.tasks import Tasks, background, lasting
from meshkit.telemetry import observability
from meshkit.verifier import TokenVerifier
from services.auth.clock import StrictClock
from services.auth.config import Config, ConfigError
from services.auth.keys import Keys
from services.auth.live_sessions import LiveSessions
from services.auth.passwords import Passwords
from services.auth.ports.store import AuthStore
from services.auth.revocations import Feed
from services.auth.servicers.auth import AuthServicer
from services.auth.servicers.users import UserServicer
from services.auth.sessions import Sessions
from services.auth.shared_throttle import SharedThrottle
from services.auth.stores.memory import MemoryStore
from services.auth.stores.sqlite import MIGRATIONS, SqliteStore
from services.auth.throttle import Throttle
from services.auth.tokens import follow, load_signer
from services.auth.users import Users

SERVICES = ("mesh.auth.v1.AuthService", "mesh.auth.v1.UserService")


@contextlib.asynccontextmanager
async def running(
    config: Config, *, throttle: Throttle | None = None, stopping: asyncio.Event | None = None
) -> AsyncIterator[int]:
    """Run the auth service for the length of the block; yield its port.

    `throttle` replaces the one on this machine's clock.  `stopping` is set if a part of the service is lost.
    Raises `ConfigError` if it cannot start like this.
    """
    admin_password = config.initial_password()
    if config.wires.tls is not None:
        config.wires.tls.check("auth")
    async with contextlib.AsyncExitStack() as stack:
        now = StrictClock()
        signer = load_signer(config.data_dir / "auth")
        await stack.enter_async_context(background(follow(signer), "follow-signing-keys"))
        store = await _store(config, now, stack)
        passwords = Passwords()
        stack.callback(passwords.close)
        tasks = Tasks()
        stack.push_async_callback(tasks.close)
        bus = await stack.enter_async_context(buses.opened(config, "auth", stopping))
        if (revoked_at := await store.last_revoked_at()) is not None:
            now.advance(revoked_at)
        feed = Feed(store, bus)
        await feed.load()
        await stack.enter_async_context(background(lasting(feed.keep), "keep-revocations", stopping))
        users = Users(store, passwords, feed, tasks, now)
        await users.ensure_admin(admin_password, config.admin_email)
        shared = SharedThrottle(throttle or Throttle(), await stack.enter_async_context(buses.counters(config)))
        sessions = Sessions(store, signer, passwords, shared, feed, tasks, config.secret, exposed=bool(config.opening))
        keys = Keys(store, signer, feed, tasks)
        live = LiveSessions(store, feed, tasks)

        async def fetch_jwks() -> str:
            return signer.jwks_json

        def register(server: object) -> None:
            pb_grpc.add_AuthServiceServicer_to_server(AuthServicer(sessions, live, keys, feed, fetch_jwks), server)
            pb_grpc.add_UserServiceServicer_to_server(UserServicer(users, live, config.secret), server)

        verifier = TokenVerifier(fetch_jwks, feed.revoked)
        named = config.wires.tls is not None
        auth = Auth(verifier, config.secret, "auth", streams_max=config.streams_per_owner, named=named)
        port = await stack.enter_async_context(
            serve(config.at("auth"), SERVICES, register, auth, bus=bus, grace_s=config.grace_s, wires=config.wires)
        )
        tasks.spawn(users.warn_of_default(), "warn-of-default")
        # Last in, first out: streams end before the server waits for them.
        stack.callback(bus.close)
        yield port


async def _store(config: Config, now: StrictClock, stack: contextlib.AsyncExitStack) -> AuthStore:
    match config.database:
        case Memory():
            return MemoryStore(now)
        case PostgresDatabase() as place:
            from services.auth.stores import postgres  # its driver is an extra

            return await stack.enter_async_context(postgres.opened(place, now))
        case SqliteFolder() as folder:
            database = Database(folder.file("auth"), MIGRATIONS)
            database.open()
            stack.push_async_callback(database.close)
            return SqliteStore(database, now)


async def main() -> None:
    """Serve until SIGTERM or SIGINT.  Exits with 2, saying why on stderr, if the configuration does not allow it."""
    config = from_environment(Config)
    observability.configure("auth", config.log_level, config.telemetry)
    stopping = asyncio.Event()
    try:
        async with running(config, stopping=stopping):
            await until_signal(stopping)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
