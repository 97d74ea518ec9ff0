"""Creates that may be sent twice, within one transaction of the ledger."""

from collections.abc import Callable
from typing import TypeVar

from meshkit.idempotency import Request, answer_of
from services.ledger.ports.store import Session

T = TypeVar("T")


def repeatable(
    request: Request | None,
    make: Callable[[Session], T],
    identify: Callable[[T], str],
    load: Callable[[Session, str], T],
) -> Callable[[Session], T]:
    """Return work that makes something; done again for the same `request`, it returns the same thing as it is by then.

    `identify` names what `make` has made, and `load` finds it by that name.
    """

    def work(session: Session) -> T:
        if request is None:
            return make(session)
        known = answer_of(session.request(request.owner, request.request_id), request)
        if known is not None:
            return load(session, known.decode())
        made = make(session)
        session.keep_request(request.answered(identify(made).encode()))
        return made

    return work
