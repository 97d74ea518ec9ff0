"""The people who may sign in: added, changed and deleted by operators."""

import contextlib
import dataclasses
import datetime
import uuid
from collections.abc import Callable

import structlog

from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request, once
from meshkit.tasks import Tasks
from services.auth import answers, domain
from services.auth.config import DEFAULT_PASSWORD
from services.auth.domain import Revocation, Tier, User, UserChange
from services.auth.passwords import Passwords
from services.auth.ports.store import AuthStore
from services.auth.revocations import Feed

ADMIN = "admin"
ADMIN_EMAIL = "admin@example.com"
audit = structlog.get_logger("audit")


class Users:
    """Keeps the people who may sign in."""

    def __init__(
        self,
        store: AuthStore,
        passwords: Passwords,
        feed: Feed,
        tasks: Tasks,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._feed = feed
        self._tasks = tasks
        self._now = now
        self._judged = ("", False)
        """A hash, and whether it is the default password's."""

    async def get(self, user_id: str) -> User:
        """Return a user by id, or raise `NotFound`."""
        return await self._store.get_user(user_id)

    async def find(self, key: str) -> User:
        """Return a user by id or by login, or raise `NotFound`."""
        if domain.looks_like_id(key):
            return await self._store.get_user(key.lower())
        return await self._store.find_user(key)

    async def list(self, after: str, limit: int) -> list[User]:
        """Return up to `limit` users whose login sorts behind `after`, by login."""
        return await self._store.list_users(after, limit)

    async def add(
        self,
        *,
        login: str,
        email: str,
        password: str,
        operator: bool,
        tier: Tier,
        active: bool = True,
        weak: bool = False,
        request: Request | None = None,
    ) -> User:
        """Add a user; the same `request` again returns the same one.  `weak` is as in `domain.check_fields`.

        Raises `Invalid`, or `AlreadyExists` if the login or e-mail is taken.
        """
        domain.check_fields({"login": login, "email": email, "password": password}, weak=weak)

        async def make() -> bytes:
            user = User(
                user_id=str(uuid.uuid4()),
                login=login,
                email=email,
                password_hash=await self._passwords.hash(password),
                active=active,
                operator=operator,
                tier=tier,
                created_at=self._now(),
            )
            answer = answers.dump_user(user)
            await self._store.add_user(user, request.answered(answer) if request is not None else None)
            audit.info("user added", user=f"users/{user.user_id}", operator=operator)
            return answer

        return answers.load_user(await once(self._store, request, make))

    async def update(self, key: str, change: UserChange, password: str | None = None, *, weak: bool = False) -> User:
        """Change a user, by id or login; `password` is hashed here, `weak` is as in `domain.check_fields`.

        What `domain.revokes` says ends the user's sessions and keys.  Raises `Invalid`, `NotFound`, `AlreadyExists` if
        the login or e-mail is taken, and `FailedPrecondition` if no active operator would be left.
        """
        texts = {"login": change.login, "email": change.email, "password": password}
        given = {name: text for name, text in texts.items() if text is not None}
        try:
            user = await self.find(key)
        except NotFound:
            domain.check_fields(given)  # what is wrong with a request is said before that there is nothing to change
            raise
        domain.check_fields(given, names=(user.login, user.email), weak=weak)
        if password is not None:
            change = dataclasses.replace(change, password_hash=await self._passwords.hash(password))

        async def step() -> User:
            changed, revocation = await self._store.update_user(user.user_id, change)
            await self._announce(changed, revocation)
            return changed

        return await self._tasks.complete(step(), "update-user")

    async def delete(self, key: str) -> None:
        """Delete a user, by id or login, with all they hold.

        Raises `NotFound`, and `FailedPrecondition` for the last active operator.
        """
        user = await self.find(key)

        async def step() -> None:
            await self._announce(user, await self._store.delete_user(user.user_id))

        await self._tasks.complete(step(), "delete-user")

    async def ensure_admin(self, password: str, email: str = "") -> None:
        """See that somebody can sign in, and that `admin` has `password` and `email` if they are given.

        Without one, an empty store gets the account admin / admin, and nothing else changes.  With one, the account
        is made unless others operate the mesh already.
        """
        try:
            admin = await self._store.find_user(ADMIN)
        except NotFound:
            if await self._store.has_users():
                return
            with contextlib.suppress(AlreadyExists):  # another replica, which starts now and is told the same
                await self.add(
                    login=ADMIN,
                    email=email or ADMIN_EMAIL,
                    password=password or DEFAULT_PASSWORD,
                    operator=True,
                    tier=Tier.ENTERPRISE,
                    weak=True,  # who starts the mesh says it, or nobody but this machine can reach it
                )
            return
        if email and admin.email != email:
            await self.update(admin.user_id, UserChange(email=email))
        if not password:
            return
        async with self._passwords.slot():
            same = await self._passwords.verify(admin.password_hash, password)
        if not same:
            await self.update(admin.user_id, UserChange(), password, weak=True)
            audit.warning("password of admin replaced from AGENTMESH_ADMIN_PASSWORD")

    async def has_default_password(self) -> bool:
        """Return whether the account `admin` can sign in by the password that everybody knows."""
        try:
            admin = await self._store.find_user(ADMIN)
        except NotFound:
            return False
        if admin.password_hash != self._judged[0]:
            async with self._passwords.slot():
                same = await self._passwords.verify(admin.password_hash, DEFAULT_PASSWORD)
            self._judged = (admin.password_hash, same)
        return self._judged[1] and admin.active

    async def warn_of_default(self) -> None:
        """Say in the log that the account `admin` has the default password, if it has."""
        if await self.has_default_password():
            audit.warning(
                "the account admin has the default password: whoever uses this machine can sign in as its operator",
                remedy="change it (POST /role/profile/password), or start with AGENTMESH_ADMIN_PASSWORD",
            )

    async def _announce(self, user: User, revocation: Revocation | None) -> None:
        if revocation is not None:
            await self._feed.announce([revocation])
            audit.info("tokens revoked", user=f"users/{user.user_id}")
