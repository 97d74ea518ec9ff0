"""Who calls: the one place that says so.

A session's token comes in the cookie `koda_operator_session`, as `X-Runtime-Token` or as bearer; so may any access
token of the mesh.  Two secrets of the operator's stand for a token, too: RUNTIME_LOCAL_UI_TOKEN as `X-Runtime-Token`,
as it is or by what is signed with it (`gateway.dialects.koda.envelopes`), and each of CONTROL_PLANE_API_TOKEN as
bearer.  Who sends one is the operator that `Config.control_plane_operator` names.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Mapping

from agentmesh_protos.auth.v1 import auth_pb2

from gateway.config import Config
from gateway.core.peers import Peers
from gateway.dialects.koda import envelopes
from meshkit import clock
from meshkit.clock import seconds_of
from meshkit.errors import from_rpc
from meshkit.principal import on_own_behalf
from meshkit.verifier import Credentials

COOKIE = "koda_operator_session"
RUNTIME_HEADER = "x-runtime-token"
CREDENTIALS = Credentials(headers=(RUNTIME_HEADER,), cookies=(COOKIE,))
_RUNTIME = Credentials(headers=(RUNTIME_HEADER,), bearer=False)
_BEARER = Credentials()
_METHOD = "x-envoy-original-method"
_TTL_S = 300
"""Short: one that is revoked is not asked for again before half of it is over."""


class Keys:
    """Finds the access token of a request."""

    def __init__(self, peers: Peers, config: Config) -> None:
        self._auth = peers.auth
        self._operator = config.control_plane_operator
        self._ui_token = config.runtime_local_ui_token.get_secret_value().strip()
        self._runtime = _secrets(self._ui_token)
        self._api = _secrets(*config.control_plane_api_token.get_secret_value().split(","))
        self._vouching = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def __call__(self, headers: Mapping[str, str]) -> str:
        """Return it; an empty string for none."""
        sent = _RUNTIME.in_headers(headers)
        if _is_one(sent, self._runtime):
            return await self._operators()
        if self._ui_token and (envelope := envelopes.opened(sent, self._ui_token)) is not None:
            envelopes.check(envelope, headers.get(_METHOD, "POST"), clock.now())
            return await self._operators()
        if _is_one(_BEARER.in_headers(headers), self._api):
            return await self._operators()
        return CREDENTIALS.find(headers)

    async def _operators(self) -> str:
        """Return a token of the operator that the secrets stand for; renewed at half its life."""
        async with self._vouching:
            if clock.now() >= self._renew_at:
                asked = auth_pb2.VouchForUserRequest(login=self._operator, access_ttl_s=_TTL_S)
                with from_rpc(), on_own_behalf():
                    tokens = await self._auth.VouchForUser(asked)
                self._token = tokens.access_token
                self._renew_at = (clock.now() + seconds_of(tokens.expire_time)) / 2
            return self._token


def _secrets(*texts: str) -> tuple[bytes, ...]:
    return tuple(_digest(text.strip()) for text in texts if text.strip())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _is_one(sent: str, known: tuple[bytes, ...]) -> bool:
    """Return whether a secret is one of these; the time that takes does not depend on what was sent."""
    if not sent or not known:
        return False
    digest = _digest(sent)
    return sum(hmac.compare_digest(digest, each) for each in known) > 0
