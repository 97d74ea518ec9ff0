"""What people are signed in with now: seen, listed and ended."""

import time
from collections.abc import Callable, Sequence

import structlog

from meshkit.principal import caller
from meshkit.tasks import Tasks
from services.auth import domain
from services.auth.domain import Session
from services.auth.ports.store import AuthStore, Place
from services.auth.revocations import Feed

_NOTED_MAX = 10_000
audit = structlog.get_logger("audit")


class LiveSessions:
    """Keeps an eye on sessions that have been started.  What is ended fails everywhere once others have heard of it."""

    def __init__(
        self, store: AuthStore, feed: Feed, tasks: Tasks, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._feed = feed
        self._tasks = tasks
        self._monotonic = monotonic
        self._noted: dict[str, float] = {}
        """When the use of a session was noted last, the latest at the end."""

    def use(self, session_id: str) -> None:
        """Note soon that a session is in use, if that has not been noted in the last `domain.USE_S`."""
        now = self._monotonic()
        noted_at = self._noted.get(session_id)
        if not session_id or (noted_at is not None and now - noted_at < domain.USE_S):
            return
        self._noted.pop(session_id, None)
        self._noted[session_id] = now
        if len(self._noted) > _NOTED_MAX:
            del self._noted[next(iter(self._noted))]
        self._tasks.spawn(self._store.use_session(session_id), "use-session")

    async def list(self, user_id: str, before: Place | None, limit: int) -> list[Session]:
        """Return up to `limit` live sessions of the user that come behind `before`, the newest first."""
        return await self._store.list_sessions(user_id, before, limit)

    async def count(self, user_ids: Sequence[str]) -> dict[str, int]:
        """Return how many live sessions each of the users has; who has none may be missing."""
        return await self._store.count_sessions(user_ids)

    async def end(self, session_id: str, user_id: str = "") -> None:
        """End a session, of `user_id` if that is not empty.  Raises `NotFound`."""
        by = caller().user

        async def step() -> None:
            owner, revocations = await self._store.delete_session(session_id, user_id)
            audit.info("session ended", session=f"sessions/{session_id}", user=f"users/{owner}", by=by)
            await self._feed.announce(revocations)

        await self._tasks.complete(step(), "end-session")

    async def end_all(self, user_id: str, but: str = "") -> int:
        """End the sessions of a user but the one `but`; return how many."""
        by = caller().user

        async def step() -> int:
            ended, revocations = await self._store.end_sessions(user_id, but)
            audit.info("sessions ended", user=f"users/{user_id}", count=ended, by=by)
            await self._feed.announce(revocations)
            return ended

        return await self._tasks.complete(step(), "end-sessions")
