"""What each service does when it starts, done once in the process they are all forked from.

The forkserver (`agentmesh.supervisor.forkserver`) calls `rehearse` by its name.  What a first time leaves in memory is
then there before the fork, and shared: OpenSSL's tables, SQLite's, what pydantic has compiled, the contract's list of
reads.  And code that has run often is not written to any more when a service runs it: Python adapts it in place, and
a page that is written to is shared no longer.

Nothing here may start a thread or gRPC (a fork would find neither), nor read a secret of the mesh (every fork would
have it), nor change what a service does: without the rehearsal it starts as well, in more memory.
"""

import asyncio
import contextlib
import contextvars
import sqlite3
import time

import jwt
import pydantic
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec

from meshkit import client, identity
from meshkit.service import Settings
from meshkit.telemetry import observability

_TIMES = 20
"""After eight runs Python begins to adapt a function, and after some more it has."""
_NO_SECRET = bytes(32)


def rehearse() -> None:
    """Do it all, and leave nothing behind but memory that is ready."""
    for _ in range(_TIMES):
        contextvars.copy_context().run(observability.configure, "rehearsal")
        uvloop.run(_pause())
        _recognise_a_peer()
        _open_a_database()
        client.options()
    for kind in Settings.__subclasses__():
        with contextlib.suppress(pydantic.ValidationError):  # the service says so when it starts
            kind()
    _recognise_a_user()


async def _pause() -> None:
    await asyncio.sleep(0)


def _recognise_a_peer() -> None:
    identity.verify(_NO_SECRET, identity.ServiceIdentity(_NO_SECRET, "rehearsal").badge("peer"), "peer")


def _recognise_a_user() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for _ in range(_TIMES):
        token = jwt.encode({"sub": "rehearsal", "exp": time.time() + 60}, key, algorithm="ES256")
        jwt.decode(token, key.public_key(), algorithms=["ES256"])


def _open_a_database() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE rehearsal (id INTEGER PRIMARY KEY)")
