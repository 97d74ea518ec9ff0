"""Sends webhooks what they are to be told, until they have taken it.

Each webhook is served by itself, a few requests at a time, so that a slow one keeps nobody else waiting.  Whoever sends
a delivery claims it first: with several runners one sends it, and should it fall silent, another does after a while.
"""

import asyncio
import contextlib
import datetime
import functools
import random
import time
from collections.abc import AsyncIterator, Callable

import httpx
import standardwebhooks
import structlog

from meshkit import clock
from meshkit.bus import Bus
from meshkit.errors import FailedPrecondition, NotFound, Unavailable
from meshkit.net import outgoing
from meshkit.net.addresses import Refused
from meshkit.secrets import Vault
from meshkit.tasks import Tasks
from services.runner.callers.standing import Standing
from services.runner.domain import webhooks
from services.runner.domain.webhooks import ANSWER_BYTES_MAX, CLAIM_S, Answer, Delivery, Webhook
from services.runner.jobs.journal import WEBHOOKS
from services.runner.ports.webhooks import ENDED_KEPT_S, WebhookStore

log = structlog.get_logger()
_LOOK_AGAIN_S = 5.0
_AT_ONCE = 4
"""Requests to one webhook at a time."""
_ANSWER_S = 15.0
"""How long a request may take, from the look-up of the name to the end of the answer."""
_KNOWN_S = 5.0
"""How long it is believed that an owner is good."""
_FORGET_S = 3600.0
_FORGET_MAX = 500
_AGAIN_S = 0.1


class Sender:
    """Sends to webhooks."""

    def __init__(
        self,
        store: WebhookStore,
        standing: Standing,
        vault: Vault,
        http: httpx.AsyncClient,
        bus: Bus,
        tasks: Tasks,
        *,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`http` is guarded (`meshkit.net.outgoing`)."""
        self._store = store
        self._standing = standing
        self._vault = vault
        self._http = http
        self._bus = bus
        self._tasks = tasks
        self._now = now
        self._serving: set[str] = set()
        """Webhooks that are being served."""
        self._good: dict[tuple[str, str], float] = {}
        """Owners and keys that are good, with until when that is believed."""

    @staticmethod
    @contextlib.asynccontextmanager
    async def client(*, private: bool) -> AsyncIterator[httpx.AsyncClient]:
        """Yield what sends requests; `private` lets them go to addresses that are not the Internet's."""
        async with outgoing.client(httpx, private=private, timeout_s=_ANSWER_S) as http:
            yield http

    async def run(self) -> None:
        """Send what is due, until cancelled.  Raises `Unavailable` if the store cannot be used now: begin anew."""
        is_set_back = clock.SetBack(self._now)
        async with self._bus.subscribe(WEBHOOKS) as waker:
            while not waker.closed:
                if is_set_back():  # else what happened while it was fast is sent as much too late
                    await self._store.bring_back(self._now())
                next_at = await self._store.next_due()
                if next_at is not None and next_at <= self._now():
                    for webhook_id in await self._store.due(self._now()):
                        self._serve(webhook_id)
                    next_at = self._now() + 1.0  # of what is being served, the next is looked for by who serves
                wait_s = _LOOK_AGAIN_S if next_at is None else next_at - self._now()
                await waker.wait(min(max(wait_s, 0.0), _LOOK_AGAIN_S))

    async def forget(self) -> None:
        """Forget what has ended long ago, in small writes; until cancelled."""
        while True:
            count = await self._store.forget_ended(self._now() - ENDED_KEPT_S, _FORGET_MAX)
            await asyncio.sleep(_FORGET_S if count < _FORGET_MAX else _AGAIN_S)

    def _serve(self, webhook_id: str) -> None:
        if webhook_id not in self._serving:
            self._serving.add(webhook_id)
            self._tasks.spawn(self._serve_all(webhook_id), f"webhook-{webhook_id}")

    async def _serve_all(self, webhook_id: str) -> None:
        """Send what is due to one webhook, until nothing is."""
        try:
            while claimed := await self._store.claim(webhook_id, self._now(), self._now() + CLAIM_S, _AT_ONCE):
                webhook = await self._store.get(webhook_id)
                if not webhook.enabled:  # disabled a moment ago: the store has what is pending fail
                    await self._store.change(webhook_id, lambda each: each)
                    return
                if not await self._is_good(webhook):
                    return
                sent = [self._tasks.spawn(self._deliver(webhook, each), "delivery") for each in claimed]
                await asyncio.wait(sent)
        except (NotFound, Unavailable):
            return  # it was deleted; or it is looked at again
        finally:
            self._serving.discard(webhook_id)

    async def _is_good(self, webhook: Webhook) -> bool:
        """Return whether something is sent in the name of a webhook's owner; disable it if not."""
        who = (webhook.owner, webhook.key_json)
        if self._good.get(who, 0.0) > time.monotonic():
            return True
        found = await self._standing.of(*who)
        if isinstance(found, str):
            await self._store.change(webhook.webhook_id, lambda each: webhooks.disabled(each, found, self._now()))
            return False
        self._good = {each: until for each, until in self._good.items() if until > time.monotonic()}
        self._good[who] = time.monotonic() + _KNOWN_S
        return True

    async def _deliver(self, webhook: Webhook, claimed: Delivery) -> None:
        with contextlib.suppress(NotFound, Unavailable):  # it was deleted; or it is looked at again
            await self.deliver(webhook, claimed)

    async def deliver(self, webhook: Webhook, claimed: Delivery) -> Delivery:
        """Send something that we have claimed; write down what came of it, return how it stands.  Raises `NotFound`."""
        answer = await self._ask(webhook, claimed)
        now, chance = self._now(), random.random()
        rule = functools.partial(webhooks.settled, answer=answer, now=now, chance=chance, claimed=claimed)
        sent = await self._store.settle(claimed, rule)
        if not answer.taken:
            log.info("webhook not taken", webhook=webhook.webhook_id, status=answer.status_code, error=answer.error)
        return sent

    async def _ask(self, webhook: Webhook, delivery: Delivery) -> Answer:
        """Make one request; whatever goes wrong is an answer, too."""
        begun = time.monotonic()
        status, text, error = 0, "", ""
        try:
            async with asyncio.timeout(_ANSWER_S):
                body = delivery.payload.encode()
                headers = self._headers(webhook, delivery)
                async with self._http.stream("POST", webhook.url, content=body, headers=headers) as response:
                    status = response.status_code
                    text = await _beginning(response)
            if not 200 <= status < 300:
                error = "redirects are not followed" if 300 <= status < 400 else f"the address answered {status}"
        except TimeoutError:
            error = f"no answer within {_ANSWER_S:.0f} seconds"
        except (Refused, FailedPrecondition) as refused:
            error = str(refused)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failed:
            error = f"{type(failed).__name__}: {failed}"[:300]
        except Exception as crash:  # ours to mend; it is not to be tried for ever
            log.exception("a webhook could not be called", webhook=webhook.webhook_id)
            error = f"it could not be called: {type(crash).__name__}"
        latency_ms = int((time.monotonic() - begun) * 1000)
        return Answer(status_code=status, latency_ms=latency_ms, text=text, error=error)

    def _headers(self, webhook: Webhook, delivery: Delivery) -> dict[str, str]:
        at = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        sealed = [webhook.sealed]
        if webhook.sealed_before and self._now() < webhook.before_until:
            sealed.append(webhook.sealed_before)
        signers = [standardwebhooks.Webhook(self._vault.open(each, place_of(webhook)).reveal()) for each in sealed]
        return {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": "agentmesh-webhooks/1",
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(
                signer.sign(delivery.delivery_id, at, delivery.payload) for signer in signers
            ),
        }


def place_of(webhook: Webhook) -> str:
    """Return the place for which its secrets are sealed."""
    return f"webhooks/{webhook.webhook_id}#secret"


async def _beginning(response: httpx.Response) -> str:
    """Return how an answer begins: what is behind is not read."""
    found = b""
    async for chunk in response.aiter_raw(ANSWER_BYTES_MAX):  # as it came: what is inflated is large before it is cut
        found += chunk
        if len(found) >= ANSWER_BYTES_MAX:
            break
    return found[:ANSWER_BYTES_MAX].decode(errors="replace").replace("\0", "\ufffd")
