"""The Masumi payment service's API: escrows of the embedded ledger, in the words of the original.

The ledger authenticates the header `token` and words its refusals; here bodies are read and records shown.  An answer
always has 200, also for what was created.
"""

from typing import Any

from agentmesh_protos.dialects.masumi.v1 import masumi_pb2 as pb
from agentmesh_protos.dialects.masumi.v1 import masumi_pb2_grpc as pb_grpc
from agentmesh_protos.payments.v1 import ledger_pb2
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.dialects.masumi import views
from gateway.dialects.masumi.agents import Agents
from gateway.dialects.masumi.ledger import Ledger, success
from gateway.dialects.masumi.records import Payments, Purchases
from gateway.http.dialect import Service


class MasumiServicer(pb_grpc.MasumiServiceServicer):
    """Says which request is what: payments and purchases are alike in most, see `records`."""

    def __init__(self, peers: Peers) -> None:
        self._ledger = Ledger(peers)
        self._payments = Payments(self._ledger)
        self._purchases = Purchases(self._ledger)
        self._agents = Agents(self._ledger, peers)

    async def GetHealth(self, request: pb.GetHealthRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Say that the service is there."""
        return success({"status": "ok"})

    async def GetApiKeyStatus(self, request: pb.GetApiKeyStatusRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return what the token may do."""
        return success(views.key(await self._ledger.key(), self._ledger.token))

    # -- the seller's

    async def ListPayments(self, request: pb.ListPaymentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List payments, newest first."""
        return await self._payments.list(request)

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Make a request to be paid."""
        return await self._payments.create(request)

    async def ResolvePayment(self, request: pb.ResolvePaymentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a payment."""
        return await self._payments.resolve(request)

    async def SubmitResult(self, request: pb.SubmitResultRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Ask for a hash to be put on the chain."""
        return await self._payments.command(request, ledger_pb2.LEDGER_COMMAND_SUBMIT_RESULT)

    async def AuthorizeRefund(self, request: pb.AuthorizeRefundRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Give up a dispute."""
        return await self._payments.command(request, ledger_pb2.LEDGER_COMMAND_AUTHORIZE_REFUND)

    async def RecoverPayment(self, request: pb.RecoverPaymentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Go on after an error."""
        return await self._payments.command(request, ledger_pb2.LEDGER_COMMAND_RECOVER)

    async def DiffPayments(self, request: pb.DiffPaymentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List what changed, oldest first."""
        return await self._payments.diff(request)

    async def CountPayments(self, request: pb.CountPaymentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Count payments."""
        return await self._payments.count(request)

    # -- the buyer's

    async def ListPurchases(self, request: pb.ListPurchasesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List purchases, newest first."""
        return await self._purchases.list(request)

    async def CreatePurchase(self, request: pb.CreatePurchaseRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Pay."""
        return await self._purchases.create(request)

    async def ResolvePurchase(self, request: pb.ResolvePurchaseRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a purchase."""
        return await self._purchases.resolve(request)

    async def RequestRefund(self, request: pb.RequestRefundRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Ask for the money back."""
        return await self._purchases.command(request, ledger_pb2.LEDGER_COMMAND_REQUEST_REFUND)

    async def CancelRefundRequest(self, request: pb.CancelRefundRequestRequest, context: Any) -> httpbody_pb2.HttpBody:
        """No longer ask for it."""
        return await self._purchases.command(request, ledger_pb2.LEDGER_COMMAND_CANCEL_REFUND)

    async def RecoverPurchase(self, request: pb.RecoverPurchaseRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Go on after an error."""
        return await self._purchases.command(request, ledger_pb2.LEDGER_COMMAND_RECOVER)

    async def DiffPurchases(self, request: pb.DiffPurchasesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List what changed, oldest first."""
        return await self._purchases.diff(request)

    async def CountPurchases(self, request: pb.CountPurchasesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Count purchases."""
        return await self._purchases.count(request)

    # -- the registry

    async def ListPaymentSources(self, request: pb.ListPaymentSourcesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List the networks with the caller's wallets."""
        return await self._agents.sources()

    async def ListRegistry(self, request: pb.ListRegistryRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List registered agents, newest first."""
        return await self._agents.list(request)

    async def RegisterAgent(self, request: pb.RegisterAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Register an agent."""
        return await self._agents.register(request)

    async def DeleteRegistration(self, request: pb.DeleteRegistrationRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Forget an entry that is no longer registered."""
        return await self._agents.delete(request)

    async def DeregisterAgent(self, request: pb.DeregisterAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Take an agent off the registry."""
        return await self._agents.deregister(request)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return an agent as the chain shows it."""
        return await self._agents.get(request)

    async def ListWalletAgents(self, request: pb.ListWalletAgentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List the agents that a wallet holds."""
        return await self._agents.of_wallet(request)


SERVICE = Service(
    name="mesh.dialects.masumi.v1.MasumiService",
    add=pb_grpc.add_MasumiServiceServicer_to_server,
    servicer=MasumiServicer,
)
