"""When a session's use is noted."""

import datetime

from meshkit.bus import MemoryBus
from meshkit.tasks import Tasks
from services.auth import domain
from services.auth.clock import StrictClock
from services.auth.domain import Session, Tier, User
from services.auth.live_sessions import LiveSessions
from services.auth.revocations import Feed
from services.auth.stores.memory import MemoryStore

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


async def test_use_is_noted_once_in_a_while() -> None:
    """However often it is asked who one is; an API key is no session."""
    walls, monotonic = [NOON], [0.0]
    store = MemoryStore(StrictClock(lambda: walls[0]))
    ada = User(
        user_id="a",
        login="ada",
        email="a@x",
        password_hash="h",
        active=True,
        operator=False,
        tier=Tier.PRO,
        created_at=NOON,
    )
    await store.add_user(ada)
    session = Session(
        session_id="s",
        user_id="a",
        token_hash="h",
        access_ttl_s=60,
        created_at=NOON,
        issued_at=NOON,
        used_at=NOON,
        expires_at=NOON,
    )
    await store.add_session(session, ada, "j")
    tasks = Tasks()
    live = LiveSessions(store, Feed(store, MemoryBus()), tasks, lambda: monotonic[0])

    async def used_at(seconds: float) -> datetime.timedelta:
        """Return how long after noon it was used, as is known `seconds` after noon, when it is used again."""
        walls[0], monotonic[0] = NOON + datetime.timedelta(seconds=seconds), seconds
        live.use("s")
        live.use("")
        await tasks.settle()
        (found,) = await live.list("a", None, 10)
        return datetime.timedelta(seconds=round((found.used_at - NOON).total_seconds()))

    assert [1, 1, 1 + domain.USE_S] == [
        (await used_at(seconds)).total_seconds() for seconds in (1, domain.USE_S, 1 + domain.USE_S)
    ]
