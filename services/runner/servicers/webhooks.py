"""The runner's service of webhooks.  Unpack, call, pack."""

from collections.abc import Callable

from agentmesh_protos.runner.v1 import webhook_pb2, webhook_pb2_grpc
from google.protobuf import empty_pb2

from meshkit import masks, names, paging, uuids
from meshkit.errors import Denied
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from meshkit.tasks import Tasks
from services.runner.domain.webhooks import Delivery, Webhook
from services.runner.ports.webhooks import WebhookStore
from services.runner.webhook_wire import FIELDS, delivery_to_pb, new_webhook, webhook_from_pb, webhook_to_pb
from services.runner.webhooks.webhooks import Webhooks


class WebhookServicer(webhook_pb2_grpc.WebhookServiceServicer):
    """Webhooks; what is not the caller's is not found."""

    def __init__(self, store: WebhookStore, webhooks: Webhooks, tasks: Tasks, now: Callable[[], float]) -> None:
        self._store = store
        self._webhooks = webhooks
        self._tasks = tasks
        self._now = now

    async def CreateWebhook(self, request: webhook_pb2.CreateWebhookRequest, context: Context) -> webhook_pb2.Webhook:
        """Add a webhook; its secret is said here.  Raises `Invalid`, `Denied`, `Exhausted`."""
        if not caller().user:
            raise Denied("webhooks belong to users: call with a user's token")
        draft = webhook_from_pb(request.webhook, new_webhook(uuids.make(), caller().user, self._now()))
        made, secret = await self._webhooks.create(draft, request.webhook.secret, caller(), request.request_id)
        return webhook_to_pb(made, secret)

    async def GetWebhook(self, request: webhook_pb2.GetWebhookRequest, context: Context) -> webhook_pb2.Webhook:
        """Return a webhook.  Raises `NotFound`, `Invalid`."""
        return webhook_to_pb(await self._own(request.name))

    async def ListWebhooks(
        self, request: webhook_pb2.ListWebhooksRequest, context: Context
    ) -> webhook_pb2.ListWebhooksResponse:
        """Return a page of webhooks, newest first.  Raises `Denied`, `Invalid`."""
        if request.all_owners and not caller().sees_all:
            raise Denied("only operators may list the webhooks of all owners")
        owner = None if request.all_owners else caller().user

        async def fetch(after: str, limit: int) -> list[Webhook]:
            return await self._store.find(owner, after, limit)

        page = await paging.page(request, fetch, lambda each: each.webhook_id, owner or "")
        return webhook_pb2.ListWebhooksResponse(
            webhooks=map(webhook_to_pb, page.items), next_page_token=page.next_token
        )

    async def UpdateWebhook(self, request: webhook_pb2.UpdateWebhookRequest, context: Context) -> webhook_pb2.Webhook:
        """Change what the mask names.  Raises `NotFound`, `Invalid`."""
        known = await self._own(request.webhook.name)
        paths = masks.paths(request.webhook, request.update_mask, FIELDS)
        draft = webhook_from_pb(masks.merged(webhook_to_pb(known), request.webhook, paths), known)
        return webhook_to_pb(await self._webhooks.update(known, draft, paths, caller()))

    async def DeleteWebhook(self, request: webhook_pb2.DeleteWebhookRequest, context: Context) -> empty_pb2.Empty:
        """Delete a webhook with its deliveries.  Raises `NotFound`, `Invalid`."""
        await self._store.delete((await self._own(request.name)).webhook_id)
        return empty_pb2.Empty()

    async def RotateWebhookSecret(
        self, request: webhook_pb2.RotateWebhookSecretRequest, context: Context
    ) -> webhook_pb2.Webhook:
        """Give a webhook a new secret, which is said here.  Raises `NotFound`, `Invalid`."""
        return webhook_to_pb(*await self._webhooks.rotate(await self._own(request.name)))

    async def TestWebhook(self, request: webhook_pb2.TestWebhookRequest, context: Context) -> webhook_pb2.Delivery:
        """Send a test once.  Raises `NotFound`, `Invalid`."""
        tested = self._webhooks.test(await self._own(request.name))
        return delivery_to_pb(await self._tasks.complete(tested, "test-webhook"))

    async def GetDelivery(self, request: webhook_pb2.GetDeliveryRequest, context: Context) -> webhook_pb2.Delivery:
        """Return a delivery.  Raises `NotFound`, `Invalid`."""
        webhook, delivery_id = await self._own_delivery(request.name)
        return delivery_to_pb(await self._store.delivery(webhook.webhook_id, delivery_id))

    async def ListDeliveries(
        self, request: webhook_pb2.ListDeliveriesRequest, context: Context
    ) -> webhook_pb2.ListDeliveriesResponse:
        """Return a page of deliveries, newest first.  Raises `NotFound`, `Invalid`."""
        webhook_id = (await self._own(request.parent, "parent")).webhook_id

        async def fetch(after: str, limit: int) -> list[Delivery]:
            return await self._store.deliveries(webhook_id, after, limit)

        page = await paging.page(request, fetch, lambda each: each.delivery_id, webhook_id)
        return webhook_pb2.ListDeliveriesResponse(
            deliveries=map(delivery_to_pb, page.items), next_page_token=page.next_token
        )

    async def Redeliver(self, request: webhook_pb2.RedeliverRequest, context: Context) -> webhook_pb2.Delivery:
        """Have a delivery sent once more.  Raises `NotFound`, `Invalid`, `FailedPrecondition`."""
        return delivery_to_pb(await self._webhooks.redeliver(*await self._own_delivery(request.name)))

    async def _own(self, name: str, field: str = "name") -> Webhook:
        webhook = await self._store.get(names.parse(name, "webhooks", field))
        check_owner(webhook.owner, webhook.name)
        return webhook

    async def _own_delivery(self, name: str) -> tuple[Webhook, str]:
        parent, _, delivery_id = name.partition("/deliveries/")
        return await self._own(parent), delivery_id
