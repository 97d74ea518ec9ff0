"""Whether an escrow that a provider has made is the one that was agreed, down to the seller's signature."""

from meshkit.masumi import identifiers
from meshkit.masumi.identifiers import NotGenuine
from services.payments.domain import Amount, Escrow, Payment, mismatch


def disagreement(payment: Payment, escrow: Escrow, price: tuple[Amount, ...] = ()) -> str:
    """Return in what the escrow differs from the payment's terms; empty if in nothing.

    For an escrow that is new to us: the terms, the agent's `price` where it is known, and everything the
    blockchainIdentifier says and signs: agent, purchaser, hash, times, funds, and the seller's key.
    """
    wrong = mismatch(payment, escrow)
    if wrong:
        return wrong
    if price and not payment.asked_amounts and sorted(escrow.amounts) != sorted(price):
        return "amounts (not the registered price)"
    try:
        parsed = identifiers.parse(escrow.blockchain_identifier)
        if parsed.agent_identifier != payment.agent_identifier:
            return "blockchain_identifier (another agent)"
        if parsed.purchaser_identifier != payment.purchaser_identifier:
            return "blockchain_identifier (another purchaser)"
        terms = identifiers.SignedTerms(
            input_hash=payment.input_hash,
            agent_identifier=payment.agent_identifier,
            purchaser_identifier=payment.purchaser_identifier,
            seller_identifier=parsed.seller_identifier,
            funds=payment.asked_amounts or None,
            pay_by_time=escrow.pay_by_time,
            submit_result_time=escrow.submit_result_time,
            unlock_time=escrow.unlock_time,
            external_dispute_unlock_time=escrow.external_dispute_unlock_time,
        )
        identifiers.verify(parsed, terms, escrow.seller_vkey)
    except NotGenuine as error:
        return f"blockchain_identifier ({error})"
    return ""
