"""The sign-in cookie, and where a sign-in may lead."""

import re

from gateway.http.exchange import Exchange
from meshkit.errors import Invalid
from meshkit.verifier import COOKIE

DELETED = f"{COOKIE}=; Path=/; Max-Age=0; SameSite=lax; HttpOnly"
_REDIRECT_CHARS_MAX = 2000
# A path on this server: `//host` and `/\host` are other servers to a browser; a header takes printable ASCII only.
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-~]*")


def signed_in(token: str, exchange: Exchange) -> str:
    """Return the `Set-Cookie` value that signs a browser in for its session."""
    secure = "; Secure" if exchange.base_url.startswith("https:") else ""
    return f"{COOKIE}={token}; Path=/; SameSite=lax; HttpOnly{secure}"


def check_redirect(target: str) -> str:
    """Return `target` if it is a path on this server.  Raises `Invalid`: an open redirect helps phishing."""
    if len(target) > _REDIRECT_CHARS_MAX or not _LOCAL_PATH.fullmatch(target):
        raise Invalid("redirect leads away", {"redirect": ["must be a path on this server, such as /flow"]})
    return target


def redirect(exchange: Exchange, target: str) -> None:
    """Answer 302 with an empty body."""
    exchange.status = 302
    exchange.body = ""
    exchange.add_header("location", target)
