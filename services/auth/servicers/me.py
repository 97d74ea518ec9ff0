"""The user who calls, for methods that are about them."""

from meshkit.errors import Unauthenticated
from meshkit.principal import Principal, caller


def user_caller() -> tuple[str, Principal]:
    """Return the id of the user who calls, and the rest of what is known; raise `Unauthenticated` if it is no user."""
    me = caller()
    if not me.user:
        raise Unauthenticated("this is about the caller, and a service without a user called: send a user's token")
    return me.user.removeprefix("users/"), me
