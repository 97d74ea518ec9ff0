"""API keys: made, listed and revoked by the user whose they are."""

import datetime

from meshkit.idempotency import Request, once
from meshkit.tasks import Tasks
from services.auth import answers, domain, tokens
from services.auth.domain import ApiKey
from services.auth.ports.store import AuthStore
from services.auth.revocations import Feed


class Keys:
    """Keeps API keys."""

    def __init__(self, store: AuthStore, signer: tokens.Signer, feed: Feed, tasks: Tasks) -> None:
        self._store = store
        self._signer = signer
        self._feed = feed
        self._tasks = tasks

    async def add(
        self,
        user_id: str,
        display_name: str,
        ttl_days: int,
        caller_issued_at: datetime.datetime,
        request: Request | None = None,
    ) -> tuple[ApiKey, str]:
        """Make an API key of the caller; return it with its token, which is kept nowhere.

        The same `request` again returns the same key and token.
        """
        domain.check_fields({"display_name": display_name})
        ttl = domain.key_ttl(ttl_days)

        async def make() -> bytes:
            asked = None if request is None else lambda user, key: request.answered(answers.dump_key(user, key))
            made = await self._store.add_api_key(user_id, tokens.new_id(), display_name, ttl, caller_issued_at, asked)
            return answers.dump_key(*made)

        user, key = answers.load_key(await once(self._store, request, make))
        token = self._signer.sign(user, jti=key.key_id, session="", issued_at=key.created_at, expires_at=key.expires_at)
        return key, token

    async def list(self, user_id: str, before: datetime.datetime | None, limit: int) -> list[ApiKey]:
        """Return up to `limit` live keys of the user made before `before`, newest first."""
        return await self._store.list_api_keys(user_id, before, limit)

    async def delete(self, user_id: str, key_id: str) -> None:
        """Revoke an API key, or raise `NotFound` if it is not this user's."""

        async def step() -> None:
            await self._feed.announce([await self._store.delete_api_key(user_id, key_id)])

        await self._tasks.complete(step(), "delete-api-key")
