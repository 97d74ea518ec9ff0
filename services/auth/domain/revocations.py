"""What must fail although it is signed and has not expired."""

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Either one token (`jti`), or every token of `user_id` issued at or before `issued_at`."""

    jti: str = ""
    user_id: str = ""
    issued_at: datetime.datetime
    expires_at: datetime.datetime
    """From here on the tokens have expired anyway, and the record may go."""


def merge(old: Revocation | None, new: Revocation) -> Revocation:
    """Return the one revocation that stands for two of the same target.

    It lasts as long as the longer: an API key that the first one covers may outlive everything the second one covers.
    """
    if old is None:
        return new
    return dataclasses.replace(
        new, issued_at=max(old.issued_at, new.issued_at), expires_at=max(old.expires_at, new.expires_at)
    )


def whole_second(moment: datetime.datetime) -> datetime.datetime:
    """Return the next whole second: `exp` claims are integers, which every verifier reads the same."""
    if moment.microsecond == 0:
        return moment
    return moment.replace(microsecond=0) + datetime.timedelta(seconds=1)
