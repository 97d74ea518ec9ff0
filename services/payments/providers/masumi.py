"""The provider that is a real Masumi payment service, over HTTP.

One client per network, with its connections kept.  Only the operator's URL is ever called: redirects are not followed
and no proxy is read from the environment.  The token is sent in the header `token` and written nowhere.
"""

import asyncio
import json
from typing import Any

import httpx

from meshkit import clock
from meshkit.errors import (
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    Invalid,
    MeshError,
    NotFound,
    Unavailable,
)
from services.payments.config import MasumiNetwork
from services.payments.domain import Amount, Escrow, Terms
from services.payments.ports.provider import PAGE
from services.payments.providers import masumi_wire as wire
from services.payments.providers.masumi_wire import Unreadable
from services.payments.providers.statuses import kind_of

_CONNECT_S = 5.0
_BYTES_MAX = 16 * 1024 * 1024
_MESSAGE_CHARS_MAX = 500
_FIND_PAGES_MAX = 100
_PRICE_S = 600.0
_PRICES_MAX = 1000


class MasumiProvider:
    """A Masumi payment service, for one network.  Close it with `aclose`."""

    name = "masumi"

    def __init__(
        self, network: str, config: MasumiNetwork, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._network = network
        self._agents = config.agents
        self._timeout_s = config.timeout_s
        self._prices: dict[str, tuple[float, tuple[Amount, ...]]] = {}
        self._http = httpx.AsyncClient(
            base_url=config.url,
            headers={"token": config.token.get_secret_value(), "accept": "application/json"},
            timeout=httpx.Timeout(config.timeout_s, connect=min(_CONNECT_S, config.timeout_s)),
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=60),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def now(self) -> int:
        """Return our own time: a chain's is the same, and its margins allow for clocks that differ a little."""
        return clock.now_ms()

    async def time(self) -> int:
        """Return the same: there is nobody to ask."""
        return clock.now_ms()

    async def check(self) -> None:
        """Raise unless the key may pay on this network, and the configured agents have a price."""
        status = await self._call("GET", "api-key-status")
        with _reading():
            fields = wire.mapping(status, "api-key-status")
        permission = str(fields.get("permission", ""))
        if not (fields.get("canPay") or fields.get("canAdmin") or permission in ("ReadAndPay", "Admin")):
            raise FailedPrecondition("the API key may not pay: give it the permission ReadAndPay")
        networks = fields.get("NetworkLimit", fields.get("networkLimit"))
        if isinstance(networks, list) and networks and self._network not in networks and not fields.get("canAdmin"):
            raise FailedPrecondition(f"the API key is not for {self._network}: add the network to the key")
        for agent in self._agents:
            self._prices.pop(agent, None)
            await self.price(agent)

    async def price(self, agent_identifier: str) -> tuple[Amount, ...]:
        """Return an agent's fixed price, empty for a dynamic one; remembered for ten minutes.

        Raises `Invalid` for an agent that is not registered, or free.
        """
        at, price = self._prices.get(agent_identifier, (0.0, ()))
        if at > clock.monotonic():
            return price
        query = {"agentIdentifier": agent_identifier, "network": self._network}
        try:
            entry = await self._call("GET", "registry/agent-identifier", query=query)
        except NotFound as error:
            raise Invalid(f"agent {agent_identifier[:80]} is not registered on {self._network}: {error}") from None
        with _reading():
            metadata = wire.mapping(wire.mapping(entry, "registry entry").get("Metadata"), "Metadata")
            pricing = wire.mapping(metadata.get("AgentPricing") or {}, "AgentPricing")
            if pricing.get("pricingType") == "Free":
                raise Invalid(f"agent {agent_identifier[:80]} is registered as free: it cannot be paid")
            price = wire.amounts(pricing.get("Pricing")) if pricing.get("pricingType") == "Fixed" else ()
        if len(self._prices) >= _PRICES_MAX:
            self._prices.clear()
        self._prices[agent_identifier] = (clock.monotonic() + _PRICE_S, price)
        return price

    async def request(self, terms: Terms) -> Escrow:
        """Make an escrow; every call makes another one."""
        return self._escrow(await self._call("POST", "payment", body=wire.request_body(terms)))

    async def find(self, job_id: str, since_ms: int) -> list[Escrow]:
        """Return what was asked for with this job's id, oldest first.

        The service cannot search by metadata: its list is read back to `since_ms`.
        """
        found: dict[str, Escrow] = {}
        cursor = ""
        for _ in range(_FIND_PAGES_MAX):
            query = {"network": self._network, "limit": str(PAGE)} | ({"cursorId": cursor} if cursor else {})
            data = await self._call("GET", "payment", query=query)
            with _reading():
                rows = wire.items(wire.mapping(data, "data").get("Payments"), "Payments")
                recent = [row for row in rows if wire.created_at(row) >= since_ms]
                mine = [row for row in recent if wire.mapping(row, "payment").get("metadata") == job_id]
                found |= {row["id"]: wire.escrow(row) for row in mine}
                last = wire.text(wire.mapping(rows[-1], "payment"), "id") if rows else ""
            if len(recent) < PAGE or last == cursor:
                return list(found.values())[::-1]
            cursor = last
        raise Unavailable("the payment could not be found among the newest 10,000: an operator must look for it")

    async def resolve(self, blockchain_identifier: str) -> Escrow:
        """Return one escrow as it stands, or raise `NotFound`."""
        return self._escrow(
            await self._call("POST", "payment/resolve-blockchain-identifier", body=self._name(blockchain_identifier))
        )

    async def changes(self, since_ms: int, cursor: str) -> list[Escrow]:
        """Return a page of what changed at or after `since_ms`, oldest change first."""
        query = {"network": self._network, "lastUpdate": wire.iso(since_ms), "limit": str(PAGE)}
        if cursor:
            query["cursorId"] = cursor
        data = await self._call("GET", "payment/diff", query=query)
        with _reading():
            return [wire.escrow(row) for row in wire.items(wire.mapping(data, "data").get("Payments"), "Payments")]

    async def submit_result(self, blockchain_identifier: str, result_hash: str) -> None:
        """Ask for the hash to be put on the chain."""
        body = {**self._name(blockchain_identifier), "submitResultHash": result_hash}
        await self._call("POST", "payment/submit-result", body=body)

    async def authorize_refund(self, blockchain_identifier: str) -> None:
        """Ask for a disputed escrow to be given back."""
        await self._call("POST", "payment/authorize-refund", body=self._name(blockchain_identifier))

    async def recover(self, blockchain_identifier: str, updated_at: int, *, retry: bool) -> None:
        """Leave `WaitingForManualAction`, trying again what has failed if `retry`."""
        body = {**self._name(blockchain_identifier), "updatedAt": wire.iso(updated_at), "retryPreviousAction": retry}
        await self._call("POST", "payment/error-state-recovery", body=body)

    def _name(self, blockchain_identifier: str) -> dict[str, Any]:
        return {"network": self._network, "blockchainIdentifier": blockchain_identifier}

    def _escrow(self, data: Any) -> Escrow:
        with _reading():
            return wire.escrow(data)

    async def _call(
        self, method: str, path: str, *, query: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> Any:
        """Return `data` of the answer's envelope; raise by the class of what went wrong."""
        try:
            # httpx's timeouts are for each read: a server that trickles would never meet them.
            async with asyncio.timeout(self._timeout_s):
                request = self._http.build_request(method, path, params=query, json=body)
                response = await self._http.send(request, stream=True)
                try:
                    raw = await _bounded(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            raise DeadlineExceeded(f"the payment service did not answer {method} {path} in time") from None
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the payment service cannot be reached: {type(error).__name__} at {method} {path}"
            ) from None
        if response.status_code == httpx.codes.OK:
            with _reading():
                envelope = wire.mapping(_json(raw), "answer")
                if envelope.get("status") != "success" or "data" not in envelope:
                    raise Unreadable("it has no data")
                return envelope["data"]
        raise _failure(response, raw, f"{method} {path}")


async def _bounded(response: httpx.Response) -> bytes:
    raw = bytearray()
    async for chunk in response.aiter_bytes():
        raw += chunk
        if len(raw) > _BYTES_MAX:
            raise Unavailable("the payment service sends more than anybody can read")
    return bytes(raw)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise Unreadable("it is not JSON") from None


class _reading:  # noqa: N801 - used as `with _reading():`
    """Around reading an answer: what cannot be read says nothing about whether the call was carried out."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Unreadable):
            raise Unavailable(f"the payment service's answer cannot be read: {error}") from None


def _failure(response: httpx.Response, raw: bytes, what: str) -> MeshError:
    """Return the error for an answer that is not 200."""
    status = response.status_code
    message = _message(raw)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Exhausted(message or "the payment service is asked too often", _retry_after_s(response))
    if 300 <= status < 400:
        return FailedPrecondition(f"{what} was redirected, which is not followed: configure the final URL")
    return kind_of(status)(message or f"the payment service answered {status} to {what}")


def _message(raw: bytes) -> str:
    """Return what the service says: `{"error": {"message"}}`, or as its documentation has it, `{"message"}`."""
    try:
        body = json.loads(raw)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else body.get("message", error)
    return message[:_MESSAGE_CHARS_MAX] if isinstance(message, str) else ""


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), 300.0) if text.isascii() and text.isdigit() else 5.0
