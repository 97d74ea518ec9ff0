"""`Client.users`, `.keys` and `.sessions`: as those of `AsyncClient`, without asyncio."""

from collections.abc import Iterator

from agentmesh._client import access
from agentmesh._client.access import ApiKey, Session, User
from agentmesh._client.sync_collections import Runner


class SyncUsers:
    """Users; see `AsyncClient.users`."""

    def __init__(self, runner: Runner, users: access.Users) -> None:
        self._runner = runner
        self._users = users

    def me(self) -> User:
        """Return the caller."""
        return self._runner.call(self._users.me())

    def create(
        self, login: str, email: str, password: str, *, operator: bool = False, tier: str = "", request_id: str = ""
    ) -> User:
        """Add a user."""
        return self._runner.call(
            self._users.create(login, email, password, operator=operator, tier=tier, request_id=request_id)
        )

    def get(self, name: str) -> User:
        """Return a user."""
        return self._runner.call(self._users.get(name))

    def list(self) -> Iterator[User]:
        """Yield users, by login."""
        return self._runner.iterate(self._users.list())

    def update(
        self,
        name: str,
        *,
        active: bool | None = None,
        operator: bool | None = None,
        tier: str | None = None,
        password: str | None = None,
    ) -> User:
        """Change what is given."""
        return self._runner.call(
            self._users.update(name, active=active, operator=operator, tier=tier, password=password)
        )

    def delete(self, name: str) -> None:
        """Delete a user, who is signed out."""
        self._runner.call(self._users.delete(name))


class SyncKeys:
    """Your API keys; see `AsyncClient.keys`."""

    def __init__(self, runner: Runner, keys: access.Keys) -> None:
        self._runner = runner
        self._keys = keys

    def create(self, display_name: str, *, days: int = 0, request_id: str = "") -> ApiKey:
        """Make a key; its `token` is shown this once."""
        return self._runner.call(self._keys.create(display_name, days=days, request_id=request_id))

    def list(self) -> Iterator[ApiKey]:
        """Yield your keys, newest first."""
        return self._runner.iterate(self._keys.list())

    def delete(self, name: str) -> None:
        """Revoke a key: it is refused from now on."""
        self._runner.call(self._keys.delete(name))


class SyncSessions:
    """What one is signed in with; see `AsyncClient.sessions`."""

    def __init__(self, runner: Runner, sessions: access.Sessions) -> None:
        self._runner = runner
        self._sessions = sessions

    def list(self, user: str = "") -> Iterator[Session]:
        """Yield sessions, newest first."""
        return self._runner.iterate(self._sessions.list(user))

    def end(self, name: str) -> None:
        """End a session: its tokens are refused from now on."""
        self._runner.call(self._sessions.end(name))

    def end_others(self, user: str = "") -> int:
        """End all sessions but the one that calls; return how many."""
        return self._runner.call(self._sessions.end_others(user))
