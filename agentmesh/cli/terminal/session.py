"""A signed-in client for one command.

Sign-ins are kept in the user's config folder, one per mesh, readable by the user only.
"""

import asyncio
import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from agentmesh.client import DEFAULT_URL, AsyncClient, NotSignedIn, Tokens
from agentmesh.supervisor.loopback import is_loopback

T = TypeVar("T")
_MESHES_MAX = 50
EXIT_INTERRUPTED = 130

Url = Annotated[str, typer.Option("--url", help="Address of the mesh.", envvar="AGENTMESH_URL")]
URL = DEFAULT_URL
_REMEDY = "unset it to sign in otherwise, or set it to what `agentmesh keys add` prints"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


def call(url: str, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Run `work` with a signed-in client of the mesh at `url`; return what it returns.

    On loopback, when nobody is signed in, it signs in as the default admin by itself.  AGENTMESH_TOKEN (an API key)
    takes the place of a sign-in.
    """
    try:
        return asyncio.run(_call(url, work))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def trusted() -> pathlib.Path | None:
    """Return what AGENTMESH_CA names: a PEM of whom to trust at https addresses, in place of what browsers trust."""
    return pathlib.Path(path) if (path := os.environ.get("AGENTMESH_CA")) else None


async def _call(url: str, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    token = os.environ.get("AGENTMESH_TOKEN", "")
    store = FileTokens(url)
    async with AsyncClient(url, token=token, tokens=None if token else store, ca=trusted()) as client:
        try:
            if not token and store.load() is None:
                await _sign_in(client, url)
            return await work(client)
        except NotSignedIn as error:
            # The mesh at this address may be another one than last time, with other keys.
            if token:
                raise NotSignedIn(f"AGENTMESH_TOKEN does not hold at {url}: {_REMEDY}", code=error.code) from error
            if not _is_local(url):
                raise
            store.save(None)
            await _sign_in(client, url)
            return await work(client)


async def _sign_in(client: AsyncClient, url: str) -> None:
    remedy = NotSignedIn(f"log in first: agentmesh login --url {url}", code="UNAUTHENTICATED")
    if not _is_local(url):
        raise remedy
    try:
        await client.login("admin", os.environ.get("AGENTMESH_ADMIN_PASSWORD", "admin"))
    except NotSignedIn as error:
        raise remedy from error


def _is_local(url: str) -> bool:
    """Return whether `url` names this machine."""
    return is_loopback(urllib.parse.urlsplit(url if "://" in url else f"http://{url}").hostname or "")


class FileTokens:
    """Keeps the sign-in at one mesh in `credentials.json`, mode 0600, in the user's config folder."""

    def __init__(self, url: str, folder: pathlib.Path | None = None) -> None:
        self._url = url.rstrip("/")
        self._folder = folder or pathlib.Path(typer.get_app_dir("agentmesh"))
        self._unsaved: Tokens | None = None  # where the folder cannot be written

    def load(self) -> Tokens | None:
        """Return the tokens; None if nobody is signed in, or if the file is not ours to read."""
        known = self._read().get(self._url)
        try:
            return Tokens(**known) if known else self._unsaved
        except TypeError:  # written by another version
            return None

    def save(self, tokens: Tokens | None) -> None:
        """Keep the tokens; None forgets them.  A folder that cannot be written means a sign-in per command."""
        everything = self._read()
        everything.pop(self._url, None)
        if tokens is not None:
            everything[self._url] = dataclasses.asdict(tokens)
        while len(everything) > _MESHES_MAX:
            del everything[next(iter(everything))]
        self._unsaved = tokens
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self._folder / f".credentials.{os.getpid()}"
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(everything, file)
            draft.replace(self._file)
            self._unsaved = None

    @contextlib.asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold off other commands."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                lock = stack.enter_context((self._folder / "lock").open("a"))
                await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            yield

    @property
    def _file(self) -> pathlib.Path:
        return self._folder / "credentials.json"

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}
