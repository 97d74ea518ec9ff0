"""Wiring of the auth service: the only module that knows every other."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable

from mesh.auth.v1 import auth_pb2_grpc as pb_grpc

from meshkit import observability
from meshkit.access import Auth
from meshkit.server import serve, until_signal
from meshkit.service import from_environment
from meshkit.sqlite import Database
from meshkit.verifier import TokenVerifier
from services.auth import sqlstore
from services.auth.config import Config, ConfigError
from services.auth.passwords import Passwords
from services.auth.revocations import Feed
from services.auth.service import Sessions, Unbroken, Users
from services.auth.servicer import AuthServicer, UserServicer
from services.auth.store import AuthStore, Clock
from services.auth.throttle import Throttle
from services.auth.tokens import Clock as StrictClock
from services.auth.tokens import load_signer

SERVICES = ("mesh.auth.v1.AuthService", "mesh.auth.v1.UserService")


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *,
    make_store: Callable[[Clock], AuthStore] | None = None,
    throttle: Throttle | None = None,
) -> AsyncIterator[int]:
    """Run the auth service for the length of the block; yield its port.

    `make_store` replaces the SQLite file, `throttle` the one on this machine's clock.
    Raises `ConfigError` if it cannot start like this.
    """
    admin_password = config.initial_password()
    async with contextlib.AsyncExitStack() as stack:
        now = StrictClock()
        signer = load_signer(config.data_dir / "auth")
        if make_store is not None:
            store = make_store(now)
        else:
            database = Database(config.data_dir / "auth.db", sqlstore.MIGRATIONS)
            database.open()
            stack.push_async_callback(database.close)
            store = sqlstore.SqliteStore(database, now)
        passwords = Passwords()
        stack.callback(passwords.close)
        unbroken = Unbroken()
        stack.push_async_callback(unbroken.drain)
        feed = Feed(now)
        revocations = await store.revocations()
        if revocations:
            now.advance(revocations[-1].issued_at)
        feed.add(revocations)
        users = Users(store, passwords, feed, unbroken, now)
        await users.ensure_admin(admin_password)
        sessions = Sessions(store, signer, passwords, throttle or Throttle(), feed, unbroken)

        async def fetch_jwks() -> str:
            return signer.jwks_json

        def register(server: object) -> None:
            servicer = AuthServicer(sessions, store, feed, signer.jwks_json)
            pb_grpc.add_AuthServiceServicer_to_server(servicer, server)
            pb_grpc.add_UserServiceServicer_to_server(UserServicer(users, store), server)

        auth = Auth(TokenVerifier(fetch_jwks, feed.revoked), config.secret)
        port = await stack.enter_async_context(
            serve(config.auth_address, SERVICES, register, auth, grace_s=config.grace_s)
        )
        # Last in, first out: streams end before the server waits for them.
        stack.callback(feed.stop)
        yield port


async def main() -> None:
    """Serve until SIGTERM or SIGINT.  Exits with 2, saying why on stderr, if the configuration does not allow it."""
    config = from_environment(Config)
    observability.configure("auth", config.log_level)
    try:
        async with running(config):
            await until_signal(asyncio.Event())
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
