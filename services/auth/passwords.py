"""argon2id in a few threads: hashing is slow on purpose, and must neither stop the loop nor eat the machine."""

import asyncio
import base64
import concurrent.futures
import contextlib
import os
from collections.abc import AsyncIterator

import argon2
from argon2.exceptions import Argon2Error, InvalidHashError

from meshkit.errors import Exhausted

# OWASP's advice for argon2id (19 MiB, at least two passes), with one pass more: about 35 ms on a 2020s core.
PASSES = 3
MEMORY_KIB = 19 * 1024
LANES = 1
WAITING_MAX = 200


class Passwords:
    """Hashes and verifies passwords, at most `workers` at a time; the memory in use is `workers` x 19 MiB."""

    def __init__(self, workers: int = 0) -> None:
        workers = workers or min(4, os.cpu_count() or 1)
        self._hasher = argon2.PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._slots = asyncio.Semaphore(workers)
        self._waiting = 0
        self._nobody = _impossible_hash()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn to hash.  Raises `Exhausted` if too many wait already."""
        if self._waiting >= WAITING_MAX:
            raise Exhausted("too many people sign in at once: try again in a moment", retry_after_s=1.0)
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1

    async def hash(self, password: str) -> str:
        """Return the encoded hash (PHC string).  Raises `Exhausted` if too many wait already."""
        async with self.slot():
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._hasher.hash, password)

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Return whether the password matches.  Call it with a `slot` held.

        `None`, for a user who does not exist, takes as long as any other and never matches.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._verify, encoded or self._nobody, password)

    def _verify(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (Argon2Error, InvalidHashError):
            return False

    def close(self) -> None:
        """Start nothing new.  What runs ends by itself within milliseconds."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _impossible_hash() -> str:
    """Return a well-formed hash with our costs that nobody knows a password for: random bytes in place of a digest."""

    def b64(size: int) -> str:
        return base64.b64encode(os.urandom(size)).decode().rstrip("=")

    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${b64(16)}${b64(32)}"
