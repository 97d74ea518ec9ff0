"""What people do with webhooks: add, change, test, delete; and have something sent once more."""

import base64
import binascii
import dataclasses
import secrets
from collections.abc import Callable, Collection

from meshkit import clock, uuids
from meshkit.bus import Bus
from meshkit.errors import Exhausted, FailedPrecondition, Invalid
from meshkit.net import addresses
from meshkit.principal import Principal
from meshkit.secrets import Secret, Vault
from services.runner.callers.requests import Requests
from services.runner.callers.shares import Shares
from services.runner.callers.standing import key_of
from services.runner.domain import webhooks
from services.runner.domain.webhooks import TEST, Delivery, DeliveryState, Webhook
from services.runner.jobs.journal import WEBHOOKS
from services.runner.ports.webhooks import TooManyWebhooks, WebhookStore
from services.runner.webhooks.sending import Sender, place_of

_PREFIX = "whsec_"
_SECRET_BYTES = 32
_BOTH_S = 86400.0
"""How long requests are signed with the secret before, too."""


class Webhooks:
    """The webhooks of this mesh."""

    def __init__(
        self,
        store: WebhookStore,
        sender: Sender,
        requests: Requests,
        shares: Shares,
        vault: Vault,
        bus: Bus,
        *,
        private: bool,
        count_max: int,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`private` lets them be at addresses that are not the Internet's; `count_max` is of one owner, 0 for any."""
        self._store = store
        self._sender = sender
        self._requests = requests
        self._shares = shares
        self._vault = vault
        self._bus = bus
        self._private = private
        self._count_max = count_max
        self._now = now

    async def create(self, draft: Webhook, secret: str, caller: Principal, request_id: str) -> tuple[Webhook, str]:
        """Keep a new webhook; return it with its secret, which is made if none is given.

        Raises `Invalid` with the fields, `Exhausted` if its owner has too many.
        """
        said = (draft.display_name, draft.url, *draft.kinds, "", *draft.targets, str(draft.enabled), secret)
        request = self._requests.made(draft.owner, request_id, "webhook", *said)
        async with self._requests.one_at_a_time(request):
            if request is not None and (known := await self._requests.known(request)) is not None:
                made = await self._store.get(known.decode())
                return made, self._vault.open(made.sealed, place_of(made)).reveal()
            self._check(draft)
            await self._shares.check_stored(draft.owner)
            secret = checked(secret) if secret else new_secret()
            sealed = self._vault.seal(Secret(secret), place_of(draft))
            made = dataclasses.replace(draft, sealed=sealed, key_json=key_of(caller))
            done = request and request.answered(made.webhook_id.encode())
            try:
                await self._store.add(made, done, count_max=self._count_max or None)
            except TooManyWebhooks:
                raise Exhausted(
                    f"an owner may have {self._count_max} webhooks: delete some", limit=str(self._count_max)
                ) from None
        return made, secret

    async def update(self, known: Webhook, draft: Webhook, fields: Collection[str], caller: Principal) -> Webhook:
        """Change fields of a webhook as `draft` has them.  Raises `Invalid` with the fields, `NotFound`."""
        self._check(draft)

        def rule(before: Webhook) -> Webhook:
            after = dataclasses.replace(
                before, **{name: getattr(draft, name) for name in fields}, updated_at=self._now()
            )
            if "enabled" in fields and after.enabled:
                after = dataclasses.replace(after, message="", failing_since=0.0)
            return dataclasses.replace(after, key_json=key_of(caller)) if caller.user == before.owner else after

        return await self._store.change(known.webhook_id, rule)

    async def rotate(self, known: Webhook) -> tuple[Webhook, str]:
        """Give a webhook a new secret; return both.  Raises `NotFound`."""
        secret = new_secret()
        sealed = self._vault.seal(Secret(secret), place_of(known))

        def rule(before: Webhook) -> Webhook:
            now = self._now()
            return dataclasses.replace(
                before, sealed=sealed, sealed_before=before.sealed, before_until=now + _BOTH_S, updated_at=now
            )

        return await self._store.change(known.webhook_id, rule), secret

    async def test(self, known: Webhook) -> Delivery:
        """Send a test, once; return what came of it.  Raises `NotFound`."""
        now = self._now()
        data = {"webhook": known.name, "owner": known.owner}
        delivery = Delivery(
            delivery_id=f"msg_{uuids.make()}",
            webhook_id=known.webhook_id,
            owner=known.owner,
            kind=TEST,
            job_id="",
            payload=webhooks.payload(TEST, now, data),
            created_at=now,
            next_at=now + webhooks.CLAIM_S,  # it is ours
            tried_until=now,
            claim=uuids.make(),
        )
        await self._store.put(delivery)
        return await self._sender.deliver(known, delivery)

    async def redeliver(self, known: Webhook, delivery_id: str) -> Delivery:
        """Have something sent once more.  Raises `NotFound`, `FailedPrecondition` if the webhook is not enabled."""
        if not known.enabled:
            raise FailedPrecondition("the webhook is not enabled: enable it first")
        before = await self._store.delivery(known.webhook_id, delivery_id)
        now = self._now()
        again = dataclasses.replace(
            before, state=DeliveryState.PENDING, next_at=now, tried_until=now + webhooks.TRIED_FOR_S, claim=""
        )
        await self._store.put(again)
        await self._bus.publish(WEBHOOKS)
        return again

    def _check(self, webhook: Webhook) -> None:
        webhooks.check(webhook)
        if problem := addresses.url_problem(webhook.url, private=self._private):
            raise Invalid("the webhook's address is not called", {"url": [problem]})


def new_secret() -> str:
    """Return a new secret."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def checked(secret: str) -> str:
    """Return a secret, or raise `Invalid`, naming the field, without it."""
    try:
        size = len(base64.b64decode(secret.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not secret.startswith(_PREFIX) or not 24 <= size <= 64:
        raise Invalid("the secret is none", {"secret": [f"{_PREFIX} and 24 to 64 bytes in base64"]})
    return secret
