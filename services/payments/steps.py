"""What can be done about a payment: each step asks its provider, and writes what was learnt from the answer."""

from collections.abc import Awaitable, Callable

import structlog

from meshkit.errors import Invalid, NotFound
from services.payments import domain
from services.payments.agreement import disagreement
from services.payments.domain import Escrow, Payment, planning
from services.payments.domain.planning import Step
from services.payments.ports.provider import Provider
from services.payments.ports.store import Rule

log = structlog.get_logger()
_RECOVERIES_MAX = 6
_FIND_SLACK_MS = 10 * domain.MINUTE_MS
"""How far the provider's clock may be behind ours when we look for what we asked for."""


class Steps:
    """The steps of one network's payments.  Any of them raises what its provider does."""

    def __init__(self, network: str, provider: Provider, change: Callable[[str, Rule], Awaitable[Payment]]) -> None:
        """`change` applies a rule to a payment, by its id."""
        self.network = network
        self.provider = provider
        self._change = change
        self._fresh: set[str] = set()
        self._recoveries: dict[str, int] = {}

    def is_fresh(self, payment_id: str) -> None:
        """Know that a payment's provider has never been asked for it."""
        self._fresh.add(payment_id)

    def forget(self, payment_id: str) -> None:
        """Know nothing of a payment."""
        self._fresh.discard(payment_id)
        self._recoveries.pop(payment_id, None)

    def recover_anew(self, payment_id: str) -> None:
        """Know that there is more to recover a payment for than before."""
        self._recoveries.pop(payment_id, None)

    def has_given_up(self, payment_id: str) -> bool:
        """Return whether a payment was recovered so often that a person must do it."""
        return self._recoveries.get(payment_id, 0) > _RECOVERIES_MAX

    async def do(self, step: Step, payment: Payment) -> Payment:
        """Take a step; return the payment as it is then."""
        match step:
            case Step.ASK:
                return await self._ask(payment)
            case Step.EXPIRE:
                return await self._expire(payment)
            case Step.RECOVER:
                return await self._recover(payment)
            case Step.SUBMIT:
                await self.provider.submit_result(payment.blockchain_identifier, payment.result_hash)
            case Step.AUTHORIZE:
                await self.provider.authorize_refund(payment.blockchain_identifier)
            case _:
                pass
        return await self.look(payment)

    async def _ask(self, payment: Payment) -> Payment:
        """Have the escrow made, exactly once as far as anybody outside can tell.

        A request is not idempotent, so one that may have been sent before is searched for first.  Should the provider
        carry out a request only after that search, a second escrow comes to be; nobody is ever told of its identifier,
        so it can never be paid.
        """
        payment_id = payment.payment_id
        if payment_id not in self._fresh:  # else nobody has been asked yet
            found = await self.provider.find(payment_id, payment.created_at - _FIND_SLACK_MS)
            agreed = [escrow for escrow in found if not disagreement(payment, escrow)]
            if agreed:
                return await self.learn(payment_id, agreed[0])
        if self.provider.now() > payment.pay_by_time:
            error = payment.error or "the provider could not be asked in time"
            return await self._change(payment_id, lambda old: domain.failed(old, error, self.provider.now()))
        try:
            price = await self.provider.price(payment.agent_identifier)
            self._fresh.discard(payment_id)
            escrow = await self.provider.request(payment.terms)
        except (Invalid, NotFound) as error:
            refusal = str(error)
            return await self._change(payment_id, lambda old: domain.failed(old, refusal, self.provider.now()))
        wrong = disagreement(payment, escrow, price)
        if wrong:
            log.error("provider disagrees", payment=payment_id, network=self.network, fields=wrong)
            text = f"the provider's answer is not what was asked for: {wrong}"
            return await self._change(payment_id, lambda old: domain.failed(old, text, self.provider.now()))
        return await self.learn(payment_id, escrow)

    async def look(self, payment: Payment) -> Payment:
        """Learn how a payment stands."""
        return await self.learn(payment.payment_id, await self.provider.resolve(payment.blockchain_identifier))

    async def _expire(self, payment: Payment) -> Payment:
        error = "nobody paid in time"
        try:
            payment = await self.look(payment)
        except NotFound:
            error = "nobody paid in time, and the provider no longer knows the payment"
        return await self._change(payment.payment_id, lambda old: domain.failed(old, error, self.provider.now()))

    async def _recover(self, payment: Payment) -> Payment:
        """Take the escrow out of WaitingForManualAction, a few times; then a person must."""
        payment_id = payment.payment_id
        payment = await self.look(payment)
        if planning.plan(payment, self.provider.now()).step is not Step.RECOVER:
            return payment
        tried = self._recoveries[payment_id] = self._recoveries.get(payment_id, 0) + 1
        if tried > _RECOVERIES_MAX:
            return payment
        retry = planning.recovery_retries(payment, self.provider.now())
        log.warning("recovering", payment=payment_id, network=self.network, error=payment.error, retry=retry)
        identifier, updated_at = payment.blockchain_identifier, payment.provider_updated_at
        try:
            await self.provider.recover(identifier, updated_at, retry=retry)
        except Invalid:
            if not retry:
                raise
            await self.provider.recover(identifier, updated_at, retry=False)
        return await self.look(payment)

    async def learn(self, payment_id: str, escrow: Escrow) -> Payment:
        """Believe the provider's view, if it is of what was agreed."""
        now = self.provider.now()

        def rule(payment: Payment) -> Payment:
            wrong = domain.mismatch(payment, escrow)
            if wrong:
                log.error("provider disagrees", payment=payment_id, network=self.network, fields=wrong)
                return domain.troubled(payment, f"the provider's view is not what was agreed: {wrong}", now)
            return planning.noted(domain.believe(payment, escrow, now), now)

        return await self._change(payment_id, rule)
