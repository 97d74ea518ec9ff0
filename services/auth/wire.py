"""Between the auth service's records and the messages of `mesh.auth.v1`."""

from agentmesh_protos.auth.v1 import auth_pb2 as pb

from meshkit.clock import stamp_at
from meshkit.errors import Invalid
from services.auth.domain import ApiKey, Revocation, Session, Tier, User, UserChange
from services.auth.sessions import Grant

_TIERS = {
    Tier.FREE: pb.TIER_FREE,
    Tier.PRO: pb.TIER_PRO,
    Tier.ENTERPRISE: pb.TIER_ENTERPRISE,
    Tier.SANDBOX: pb.TIER_SANDBOX,
}
_TIER_OF = {number: tier for tier, number in _TIERS.items()}
_MUTABLE = ("login", "email", "active", "operator", "tier", "password")


def user_pb(user: User, *, default_password: bool = False, sessions: int = 0) -> pb.User:
    """Return the user as others may see them: without the password, but whether it is the one that everybody knows."""
    return pb.User(
        name=f"users/{user.user_id}",
        login=user.login,
        email=user.email,
        active=user.active,
        operator=user.operator,
        tier=_TIERS[user.tier],
        create_time=stamp_at(user.created_at),
        default_password=default_password,
        session_count=sessions,
    )


def change_of(request: pb.UpdateUserRequest) -> tuple[UserChange, str | None]:
    """Return what to change, and the new password if there is one.  Raises `Invalid` for a field that cannot be."""
    sent = request.user
    paths = set(request.update_mask.paths) or {name for name in _MUTABLE if getattr(sent, name)}
    if unknown := sorted(paths - set(_MUTABLE)):
        raise Invalid(
            f"update_mask: cannot change {unknown[0][:80]!r}", {"update_mask": [f"may name {', '.join(_MUTABLE)}"]}
        )
    change = UserChange(
        login=sent.login if "login" in paths else None,
        email=sent.email if "email" in paths else None,
        active=sent.active if "active" in paths else None,
        operator=sent.operator if "operator" in paths else None,
        tier=tier_of(sent.tier) if "tier" in paths else None,
    )
    return change, sent.password if "password" in paths else None


def tier_of(number: int) -> Tier:
    """Return a tier, the free one if none is named; raise `Invalid` for a number that names none."""
    if number == pb.TIER_UNSPECIFIED:
        return Tier.FREE
    try:
        return _TIER_OF[pb.Tier.ValueType(number)]
    except KeyError:
        raise Invalid(f"user.tier: {number} is not a tier", {"user.tier": ["must be a Tier"]}) from None


def tokens_pb(grant: Grant) -> pb.Tokens:
    """Return what a sign-in gives."""
    return pb.Tokens(
        access_token=grant.access_token,
        refresh_token=grant.refresh_token,
        user=user_pb(grant.user),
        expire_time=stamp_at(grant.expires_at),
        refresh_expire_time=stamp_at(grant.refresh_expires_at),
    )


def api_key_pb(key: ApiKey) -> pb.ApiKey:
    """Return an API key, without its token."""
    return pb.ApiKey(
        name=f"apiKeys/{key.key_id}",
        display_name=key.display_name,
        create_time=stamp_at(key.created_at),
        expire_time=stamp_at(key.expires_at),
    )


def session_pb(session: Session, current: str) -> pb.Session:
    """Return a session, without what it is refreshed with; `current` is the id of the one that asks."""
    return pb.Session(
        name=f"sessions/{session.session_id}",
        user=f"users/{session.user_id}",
        create_time=stamp_at(session.created_at),
        use_time=stamp_at(session.used_at),
        expire_time=stamp_at(session.expires_at),
        client=session.client,
        address=session.address,
        current=session.session_id == current,
    )


def revocation_pb(revocation: Revocation) -> pb.Revocation:
    """Return a revocation, of a token or of a user."""
    message = pb.Revocation(
        issue_time=stamp_at(revocation.issued_at),
        expire_time=stamp_at(revocation.expires_at),
    )
    if revocation.jti:
        message.jti = revocation.jti
    else:
        message.user = f"users/{revocation.user_id}"
    return message
