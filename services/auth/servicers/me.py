"""The user who calls, for methods that are about them."""

from meshkit.errors import Denied, Unauthenticated
from meshkit.principal import Principal, caller


def user_caller() -> tuple[str, Principal]:
    """Return the id of the user who calls, and the rest of what is known; raise `Unauthenticated` if it is no user."""
    me = caller()
    if not me.user:
        raise Unauthenticated("this is about the caller, and a service without a user called: send a user's token")
    return me.user.removeprefix("users/"), me


def check_not_a_key(what: str) -> None:
    """Raise `Denied` if an API key calls, which somebody may have found.

    It is not to give anybody more, or for longer, than it is good for itself, nor to shut its owner out.
    """
    if caller().is_key:
        raise Denied(f"an API key may not {what}: sign in with a password for that")
