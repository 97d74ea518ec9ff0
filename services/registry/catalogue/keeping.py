"""What the rooms of agents, crews, task definitions and tools share: who asks, what a name leads to, and secrets.

Whoever asks sees their own, operators and services all (`scope`).  What a definition names must belong to *its* owner,
whoever writes it: an operator cannot tie together what belongs to two.
"""

import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from meshkit import paging
from meshkit.errors import Denied, Unauthenticated
from meshkit.principal import caller
from meshkit.secrets import Secret, Vault
from services.registry.domain import slugs
from services.registry.domain.agents import SECRET_CHARS_MAX, Model
from services.registry.domain.checks import check_secret
from services.registry.domain.records import ALIVE, ARCHIVED, Record, missing
from services.registry.domain.tools import BUILTINS, Tool
from services.registry.ports.definitions import Transaction

R = TypeVar("R", bound=Record)
NEW = "+"
"""Before the number of something that comes with the same request."""


def own() -> str:
    """Return the user who asks; raise `Unauthenticated` if none does."""
    if not caller().user:
        raise Unauthenticated("definitions belong to users: sign in as one")
    return caller().user


def scope() -> str | None:
    """Return whose definitions the caller sees; None is everybody's."""
    return None if caller().sees_all else caller().user


def listed_scope(*, all_owners: bool, what: str) -> str | None:
    """Return whose definitions are listed; raise `Denied` if those of all are asked for by a user."""
    if all_owners and not caller().sees_all:
        raise Denied(f"only operators may see the {what} of all owners")
    return None if all_owners else caller().user


def standings(*, show_deleted: bool, alive: Sequence[str] = (ALIVE,)) -> tuple[str, ...]:
    """Return what a list chooses by."""
    return (*alive, ARCHIVED) if show_deleted else tuple(alive)


def look(tx: Transaction, kind: type[R], handle: str, seen_by: str | None, owner: str, field: str = "") -> R:
    """Return what a name's last part, an id or a handle of `owner`'s, leads to; raise `NotFound`.

    By id also what is archived.
    """
    if slugs.is_id(handle):
        found = tx.find(kind, handle, seen_by)
    else:
        found = tx.find_handle(kind, handle, owner) if owner else None
    if found is None:
        raise missing(f"{kind.kind}/{handle}", field)
    return found


def look_alive(tx: Transaction, kind: type[R], handle: str, seen_by: str | None, owner: str, field: str = "") -> R:
    """As `look`, but raise `NotFound` for what is archived, too."""
    found = look(tx, kind, handle, seen_by, owner, field)
    if found.deleted_at is not None:
        raise missing(f"{kind.kind}/{handle}", field)
    return found


def references(
    tx: Transaction,
    kind: type[Record],
    handles: Sequence[str],
    owner: str,
    field: str,
    *,
    kept: Sequence[str] = (),
    new: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Return the ids of what a definition of `owner`'s names, each once, as `reference` does."""
    found = [
        reference(tx, kind, handle, owner, f"{field}[{index}]", kept=kept, new=new)
        for index, handle in enumerate(handles)
    ]
    return tuple(dict.fromkeys(found))


def reference(
    tx: Transaction,
    kind: type[Record],
    handle: str,
    owner: str,
    field: str,
    *,
    kept: Sequence[str] = (),
    new: Mapping[str, str] | None = None,
) -> str:
    """Return the id of what a definition of `owner`'s names; raise `NotFound`, naming `field`, if it is not theirs.

    What was `kept` before is not looked up again: it may have been archived since.  `new` are the ids of what comes
    with the same request, by `+{n}`.  An empty handle leads to an empty id.
    """
    if not handle or handle in kept or (kind is Tool and handle in BUILTINS):
        return handle
    if handle.startswith(NEW):
        if new is None or handle not in new:
            raise missing(f"{kind.kind}/{handle}", field)
        return new[handle]
    return look_alive(tx, kind, handle, owner, owner, field).id


async def page(
    request: paging.ListRequest,
    select: Callable[[str, int], Awaitable[tuple[Sequence[R], bool]]],
    *filters: str,
) -> paging.Page[R]:
    """Answer a List whose pages are also bounded in bytes; `select` says itself whether there is more."""
    limit = paging.size(request.page_size)
    items, more = await select(paging.decode(request.page_token, *filters), limit)
    return paging.Page(list(items), paging.encode(items[-1].id, *filters) if more and items else "")


class Keeper:
    """Keeps secrets of definitions: sealed for the definition and the field that they are of."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def check(self, field: str, secret: Secret | None) -> None:
        """Raise `Invalid`, naming `field`, for what cannot be a key or token."""
        if secret is not None:
            check_secret(field, secret.reveal(), SECRET_CHARS_MAX)

    def keep(self, tx: Transaction, name: str, field: str, secret: Secret | None, *, had: bool) -> bool:
        """Set a secret, forget it if it is empty, or leave it if there is None; return whether there is one then."""
        if secret is None:
            return had
        if secret:
            tx.keep_secret(name, field, self._vault.key_id, self._vault.seal(secret, _place(name, field)))
        elif had:
            tx.forget_secret(name, field)
        return bool(secret)

    def open(self, tx: Transaction, name: str, field: str) -> Secret | None:
        """Return a secret, None if there is none; raise `FailedPrecondition` if it cannot be opened."""
        sealed = tx.secret(name, field)
        return None if sealed is None else self._vault.open(sealed, _place(name, field))


def given(secret: Secret | None, before: Model | str | None, after: Model | str | None) -> Secret | None:
    """Return what is given for a secret: an empty one if none is, and it would be shown to others than before.

    `before` and `after` are to whom: an endpoint, or a model with its provider.  Else somebody who may change that, and
    has never seen the secret, would have it sent to a server of their own.
    """
    return Secret("") if secret is None and after and _audience(before) != _audience(after) else secret


def _audience(of: Model | str | None) -> tuple[str, ...]:
    if isinstance(of, Model):
        return of.provider, *_audience(of.endpoint)
    parts = urllib.parse.urlsplit(of or "")
    return parts.scheme, parts.netloc.lower()


def _place(name: str, field: str) -> str:
    return f"{name}#{field}"
