"""One channel to the front door of a mesh, and the calls on it: deadline, token, errors."""

import contextlib
import json
import pathlib
import time
import urllib.parse
from collections.abc import AsyncGenerator
from typing import Any

import grpc
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc

from agentmesh._client import errors
from agentmesh._client.records import Tokens, to_tokens
from agentmesh._client.tokens import TokenStore

_RENEW_BEFORE_S = 30.0
_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
Metadata = tuple[tuple[str, str], ...]
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.primary_user_agent", "agentmesh"),  # as sessions are listed
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.enable_retries", 1),
    (
        # A service that restarts is back in a second or two.  Safe for creates too: they carry a request_id.
        "grpc.service_config",
        json.dumps(
            {
                "methodConfig": [
                    {
                        "name": [{}],
                        "retryPolicy": {
                            "maxAttempts": 4,
                            "initialBackoff": "0.1s",
                            "maxBackoff": "1s",
                            "backoffMultiplier": 3,
                            "retryableStatusCodes": ["UNAVAILABLE"],
                        },
                    }
                ]
            }
        ),
    ),
]


def parse_url(url: str) -> tuple[str, bool]:
    """Return `host:port` and whether it is TLS, of `http://host:port`.

    Raises `ValueError`, with the remedy, for anything else.
    """
    remedy = f"{url!r:.200} is not the address of a mesh: write http://HOST:PORT, such as http://127.0.0.1:3370"
    if not isinstance(url, str):
        raise ValueError(remedy)
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(remedy) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(remedy)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    secure = parts.scheme == "https"
    return f"{host}:{port or (443 if secure else 80)}", secure


class Connection:
    """A channel that knows who the caller is, and renews the sign-in before it runs out."""

    def __init__(
        self, url: str, tokens: TokenStore, timeout_s: float, ca: pathlib.Path | None = None, tls_name: str = ""
    ) -> None:
        """`ca` and `tls_name` are as `AsyncClient` has them.  Raises `ValueError`."""
        target, secure = parse_url(url)
        self.url = url
        self.tokens = tokens
        self.timeout_s = timeout_s
        self.channel = (
            grpc.aio.secure_channel(target, _trusting(ca), options=[*_OPTIONS, *_named(tls_name)])
            if secure
            else grpc.aio.insecure_channel(target, options=_OPTIONS)
        )
        self._auth = auth_pb2_grpc.AuthServiceStub(self.channel)

    async def close(self) -> None:
        """Close the channel; calls in flight fail."""
        await self.channel.close()

    async def unary(self, method: Any, request: Any, *, signed_in: bool = True) -> Any:
        """Call a stub's unary method; raise `MeshError` if it fails."""
        metadata = await self.metadata() if signed_in else ()
        with errors.translated(self.url):
            return await method(request, timeout=self.timeout_s, metadata=metadata)

    async def stream(self, method: Any, request: Any) -> AsyncGenerator[Any, None]:
        """Yield the messages of a stub's streaming method; raise `MeshError` if it fails."""
        call = method(request, metadata=await self.metadata())
        with contextlib.closing(_Cancelled(call)), errors.translated(self.url):
            async for message in call:
                yield message

    async def pages(self, method: Any, request: Any) -> AsyncGenerator[Any, None]:
        """Yield the pages of a stub's listing method, of which `request` asks for the first."""
        while True:
            page = await self.unary(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def metadata(self) -> Metadata:
        """Return the credentials, renewed if need be; nothing if nobody is signed in."""
        tokens = self.tokens.load()
        if tokens is not None and _due(tokens):
            tokens = await self._renew()
        return () if tokens is None else _credentials(tokens)

    def outlives(self, error: grpc.aio.AioRpcError, sent: Metadata) -> bool:
        """Return whether a stream that had `sent` these credentials has failed with them, and there are newer ones."""
        tokens = self.tokens.load()
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED or tokens is None:
            return False
        return _due(tokens) or sent != _credentials(tokens)

    async def _renew(self) -> Tokens | None:
        async with self.tokens.exclusive():
            tokens = self.tokens.load()
            if tokens is None or not _due(tokens):  # somebody else was faster
                return tokens
            request = auth_pb2.RefreshTokensRequest(refresh_token=tokens.refresh_token)
            try:
                fresh = to_tokens(await self.unary(self._auth.RefreshTokens, request, signed_in=False))
            except errors.NotSignedIn:
                self.tokens.save(None)
                raise
            self.tokens.save(fresh)
            return fresh


def _trusting(ca: pathlib.Path | None) -> grpc.ChannelCredentials:
    try:
        trusted = None if ca is None else ca.read_bytes()
    except OSError as error:
        raise ValueError(f"{ca}, which says whose certificates to trust, cannot be read: {error.strerror}") from error
    if trusted is not None and b"-----BEGIN CERTIFICATE-----" not in trusted:
        raise ValueError(f"{ca}, which says whose certificates to trust, has none: name a PEM file of a CA")
    return grpc.ssl_channel_credentials(trusted)


def _named(tls_name: str) -> list[tuple[str, Any]]:
    return [("grpc.ssl_target_name_override", tls_name)] if tls_name else []


class _Cancelled:
    """Cancels a call when closed: a stream that is left half-way must not run on."""

    def __init__(self, call: Any) -> None:
        self.close = call.cancel


def _credentials(tokens: Tokens) -> Metadata:
    return (("authorization", f"Bearer {tokens.access_token}"),)


def _due(tokens: Tokens) -> bool:
    return bool(tokens.refresh_token) and time.time() > tokens.expires_at - _RENEW_BEFORE_S
