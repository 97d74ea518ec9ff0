"""The provider that is the mesh's own ledger, by RPC.

The ledger's clock can be set ahead and run faster than ours.  It comes with every page of changes, and whoever needs it
to the moment asks (`time`).
"""

import contextlib
from collections.abc import Iterable, Iterator

from agentmesh_protos.payments.v1 import ledger_pb2 as pb
from agentmesh_protos.payments.v1 import ledger_pb2_grpc as pb_grpc
from agentmesh_protos.payments.v1 import payments_pb2

from meshkit import clock
from meshkit.clock import millis_of, stamp_ms
from meshkit.errors import Invalid, MeshError, NotFound, from_rpc
from meshkit.principal import on_own_behalf
from services.payments.domain import Amount, Escrow, Terms
from services.payments.ports.provider import PAGE
from services.payments.providers.statuses import kind_of

_TIME_S = 1.0


class LedgerProvider:
    """The ledger's view of one network."""

    name = "ledger"

    def __init__(self, network: str, stub: pb_grpc.LedgerServiceStub) -> None:
        self._network = network
        self._stub = stub
        self._heard_at = 0
        self._clock_at = 0
        self._scale = 1.0

    def now(self) -> int:
        """Return the ledger's time by what was last heard of it; at first, our own."""
        return self._clock_at + int((clock.steady_ms() - self._heard_at) * self._scale)

    async def time(self) -> int:
        """Return the ledger's time; if it does not answer at once, by what was last heard."""
        with contextlib.suppress(MeshError), _calling():
            self._hear(await self._stub.GetLedgerTime(pb.GetLedgerTimeRequest(), timeout=_TIME_S))
        return self.now()

    async def check(self) -> None:
        """Raise unless the ledger answers."""
        with _calling():
            self._hear(await self._stub.GetLedgerTime(pb.GetLedgerTimeRequest()))

    async def price(self, agent_identifier: str) -> tuple[Amount, ...]:
        """Return an agent's fixed price, empty for a dynamic one.  Raises `Invalid` if it is unknown or free."""
        request = pb.ListAgentsRequest(network=self._network, agent_identifier=agent_identifier)
        try:
            with _calling():
                (agent,) = (await self._stub.ListAgents(request)).agents
        except NotFound:
            raise Invalid(f"the ledger's registry does not know this agent on {self._network}") from None
        if agent.pricing_type == "Free":
            raise Invalid("the agent is free: nothing is to be paid")
        return _amounts(agent.pricing)

    async def request(self, terms: Terms) -> Escrow:
        """Make an escrow, with the job's id as its metadata; every call makes another one."""
        request = pb.RequestFundsRequest(
            network=terms.network,
            agent_identifier=terms.agent_identifier,
            purchaser_identifier=terms.purchaser_identifier,
            input_hash=terms.input_hash,
            pay_by_time=stamp_ms(terms.pay_by_time),
            submit_result_time=stamp_ms(terms.submit_result_time),
            unlock_time=stamp_ms(terms.unlock_time) if terms.unlock_time else None,
            external_dispute_unlock_time=stamp_ms(terms.external_dispute_unlock_time)
            if terms.external_dispute_unlock_time
            else None,
            funds=[payments_pb2.Money(amount=str(amount), unit=unit) for amount, unit in terms.amounts],
            metadata=terms.job_id,
        )
        with _calling():
            return _escrow(await self._stub.RequestFunds(request))

    async def find(self, job_id: str, since_ms: int) -> list[Escrow]:
        """Return what was asked for with this job's id at or after `since_ms`, oldest first."""
        return await self._list(pb.ListRecordsRequest(metadata=job_id, since_time=stamp_ms(since_ms)))

    async def resolve(self, blockchain_identifier: str) -> Escrow:
        """Return one escrow as it stands, or raise `NotFound`."""
        request = pb.ResolveRecordRequest(
            network=self._network, blockchain_identifier=blockchain_identifier, side=pb.LEDGER_SIDE_PAYMENT
        )
        with _calling():
            return _escrow(await self._stub.ResolveRecord(request))

    async def changes(self, since_ms: int, cursor: str) -> list[Escrow]:
        """Return a page of what changed at or after `since_ms`, oldest change first."""
        return await self._list(
            pb.ListRecordsRequest(
                order=pb.LEDGER_ORDER_CHANGED, since_time=stamp_ms(since_ms), cursor=cursor, page_size=PAGE
            )
        )

    async def submit_result(self, blockchain_identifier: str, result_hash: str) -> None:
        """Ask for the hash to be put on the chain."""
        await self._command(
            blockchain_identifier,
            pb.CommandRecordRequest(command=pb.LEDGER_COMMAND_SUBMIT_RESULT, result_hash=result_hash),
        )

    async def authorize_refund(self, blockchain_identifier: str) -> None:
        """Ask for a disputed escrow to be given back."""
        await self._command(blockchain_identifier, pb.CommandRecordRequest(command=pb.LEDGER_COMMAND_AUTHORIZE_REFUND))

    async def recover(self, blockchain_identifier: str, updated_at: int, *, retry: bool) -> None:
        """Leave `WaitingForManualAction`, trying again what has failed if `retry`."""
        await self._command(
            blockchain_identifier,
            pb.CommandRecordRequest(
                command=pb.LEDGER_COMMAND_RECOVER,
                update_time=stamp_ms(updated_at),
                retry=retry,
                side=pb.LEDGER_SIDE_PAYMENT,
            ),
        )

    async def _list(self, request: pb.ListRecordsRequest) -> list[Escrow]:
        request.network = self._network
        request.side = pb.LEDGER_SIDE_PAYMENT
        with _calling():
            answer = await self._stub.ListRecords(request)
        self._hear(answer.clock)
        return [_escrow(record) for record in answer.records]

    async def _command(self, blockchain_identifier: str, request: pb.CommandRecordRequest) -> None:
        request.network = self._network
        request.blockchain_identifier = blockchain_identifier
        with _calling():
            await self._stub.CommandRecord(request)

    def _hear(self, heard: pb.LedgerClock) -> None:
        self._heard_at, self._clock_at, self._scale = clock.steady_ms(), millis_of(heard.time), heard.scale


@contextlib.contextmanager
def _calling() -> Iterator[None]:
    """Call for the mesh itself; re-raise what the ledger refuses as the class that its HTTP status would have."""
    try:
        with on_own_behalf(), from_rpc():
            yield
    except MeshError as error:
        status = error.metadata.get("http", "")
        if not status.isdigit():
            raise
        raise kind_of(int(status))(str(error)) from None


def _escrow(record: pb.LedgerRecord) -> Escrow:
    return Escrow(
        id=record.id,
        blockchain_identifier=record.blockchain_identifier,
        agent_identifier=record.agent_identifier,
        input_hash=record.input_hash,
        result_hash=record.result_hash,
        on_chain_state=record.state or None,
        next_action=record.action,
        error_type=record.error_type,
        error_note=record.error_note,
        pay_by_time=millis_of(record.pay_by_time),
        submit_result_time=millis_of(record.submit_result_time),
        unlock_time=millis_of(record.unlock_time),
        external_dispute_unlock_time=millis_of(record.external_dispute_unlock_time),
        amounts=_amounts(record.funds),
        seller_vkey=record.seller_vkey,
        job_id=record.metadata,
        changed_at=max(millis_of(record.action_change_time), millis_of(record.state_change_time)),
        updated_at=millis_of(record.update_time),
    )


def _amounts(money: Iterable[payments_pb2.Money]) -> tuple[Amount, ...]:
    return tuple((int(each.amount), each.unit) for each in money)
