"""Whether a caller may: the interceptor that finds out who calls and compares it with the method's rule.

Every service verifies itself what it is sent: a user's access token (`meshkit.verifier`), a peer's badge against the
mesh's secret (`meshkit.identity`).  Servicers check no roles; they ask `caller()` who it is.

Where nobody needs to be known, a token that does not hold is none: browsers send what they have, and whoever's has
expired must be able to sign in.  So is a badge that has expired, by which its bearer hears what time it is (ADR 48).  A
badge that nobody of this mesh has signed for us is an error everywhere: no accident brings it, and what is wrong with
the secrets of a mesh should be heard of.  Never is somebody else called than would have been: not the service, which
sees more, in place of the user for whom it calls.
"""

import contextlib
import copy
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from agentmesh_protos.gateway.v1 import options_pb2

from meshkit.errors import Denied, Unauthenticated
from meshkit.identity import SERVICE_HEADER, Badges, Expired
from meshkit.interceptors import AroundInterceptor, Context
from meshkit.net import whence
from meshkit.net.tls import names
from meshkit.principal import LOCAL, NOBODY, Principal, acting
from meshkit.rules import rule_of
from meshkit.verifier import MESH, MISSING, Credentials, TokenVerifier

Finder = Callable[[Mapping[str, str]], Awaitable[str]]
"""Returns the access token of a request by its headers, an empty string for none; raises `MeshError` for a credential
that it knows and refuses."""


_TRANSPORT, _ALTERNATIVES = "transport_security_type", "x509_subject_alternative_name"
"""Of gRPC's authentication context."""


class Auth(AroundInterceptor):
    """Let a call through if its caller satisfies the method's rule, and tell the servicer who it is.

    Badges must be for `service`.  `credentials` says where callers of a method, `/package.Service/Method`, put their
    token.  Where they may send something else that stands for one, `finder` returns who finds the token, in place of
    that.  `is_local` says of a call's metadata whether it comes from this machine and needs none where the rule says
    LOCAL.  If services are `named` by certificates, a badge counts only with one of the same name, where there is TLS.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        secret: bytes,
        service: str,
        credentials: Callable[[str], Credentials] = lambda method: MESH,
        finder: Callable[[str], Finder | None] = lambda method: None,
        is_local: Callable[[Mapping[str, str]], bool] = lambda metadata: False,
        streams_max: int = 0,
        *,
        named: bool = False,
    ) -> None:
        super().__init__()
        self.streams_max = streams_max
        """How many streams one user may have open; 0 for any number."""
        self.verifier = verifier
        """For calls that come another way than gRPC, such as a WebSocket."""
        self._badges = Badges(secret, service)
        self._credentials = credentials
        self._finder = finder
        self._is_local = is_local
        self._named = named
        self._mark = whence.mark(secret)
        self._policies: dict[str, tuple[options_pb2.Rule, Finder]] = {}

    def for_another_server(self) -> "Auth":
        """Return the same for a server beside the one that has this: what is kept of its handlers is its own."""
        other = copy.copy(self)
        other._wrapped = {}
        return other

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Raise `Unauthenticated` or `Denied`, or set `caller()` for the call."""
        policy = self._policies.get(method)
        if policy is None:
            find = self._finder(method) or _in(self._credentials(method))
            policy = self._policies[method] = (rule_of(method), find)
        rule, find = policy
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        token = await find(metadata)
        public = rule.access == options_pb2.ACCESS_PUBLIC
        principal, service = await self._principal(metadata, token, optional=public)
        if self._named and service:
            _check_name(context, service)
        if principal == NOBODY and rule.access == options_pb2.ACCESS_LOCAL and self._is_local(metadata):
            principal = LOCAL
        check_access(principal, rule.access, guests=rule.guests)
        if address := whence.address_of(metadata, self._mark, by_service=bool(service)):
            principal = dataclasses.replace(principal, address=address)
        with acting(principal):
            yield

    async def _principal(self, metadata: Mapping[str, str], token: str, *, optional: bool) -> tuple[Principal, str]:
        """Return who calls, and the service by which: also where it calls for a user who may not any more."""
        principal = await user_of(token, self.verifier, optional=optional)
        if not (badge := metadata.get(SERVICE_HEADER)):
            return principal, ""
        try:
            shown = self._badges.verify(badge)
        except Expired:
            if not optional:
                raise
            return principal, ""
        if shown.user:
            try:
                await self.verifier.admit(shown)
            except Unauthenticated:
                if not optional:
                    raise
                return NOBODY, shown.service
        elif principal != NOBODY:
            shown = dataclasses.replace(principal, service=shown.service, host=shown.host)
        return shown, shown.service


def _check_name(context: Context, service: str) -> None:
    """Raise `Unauthenticated` if the certificate of who calls over TLS is not that service's."""
    known = context.auth_context()
    if b"ssl" in known.get(_TRANSPORT, ()) and service not in names(known.get(_ALTERNATIVES, ())):
        raise Unauthenticated(f"the badge is of {service}, and the certificate is not")


def _in(credentials: Credentials) -> Finder:
    async def find(metadata: Mapping[str, str]) -> str:
        return credentials.find(metadata)

    return find


async def user_of(token: str, verifier: TokenVerifier, *, optional: bool) -> Principal:
    """Return whose token it is, nobody for none; raise `Unauthenticated` if it does not hold, or not, if optional."""
    if not token:
        return NOBODY
    try:
        return await verifier.verify(token)
    except Unauthenticated:
        if not optional:
            raise
        return NOBODY


def check_access(principal: Principal, access: int, *, guests: bool = False) -> None:
    """Raise `Unauthenticated` or `Denied` unless `principal` may call a method with this `Access`.

    `guests` says whether the method may be called for who has no login.
    """
    if access == options_pb2.ACCESS_PUBLIC:
        return
    if principal.is_guest and not guests:
        raise Denied("sign in first: this is not for guests")
    if access == options_pb2.ACCESS_SERVICE:
        if not principal.service:
            raise Denied("only services of this mesh may call this")
    elif access == options_pb2.ACCESS_HOST:
        if not principal.host:
            raise Denied("only hosts of this mesh may call this")
    elif not principal.user and not principal.service:
        raise Unauthenticated("sign in first: no token was sent", token=MISSING)
    elif access == options_pb2.ACCESS_OPERATOR and not principal.sees_all:
        raise Denied("only operators may call this")
