"""The sign-in cookie: how it is set, from where it counts, and where a sign-in may lead."""

import re
from collections.abc import Mapping

from gateway.http.exchange import FOREIGN_HEADER
from meshkit.errors import Denied, Invalid
from meshkit.verifier import COOKIE

ACCESS_TTL_S = 24 * 3600
"""How long a browser stays signed in: its cookie has the access token only, which it does not refresh."""
DELETED = f"{COOKIE}=; Path=/; Max-Age=0; SameSite=lax; HttpOnly"
_REDIRECT_CHARS_MAX = 2000
# A path on this server: `//host` and `/\host` are other servers to a browser; a header takes printable ASCII only.
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-~]*")


def signed_in(token: str, base_url: str) -> str:
    """Return the `Set-Cookie` value that signs a browser in for its session; `base_url` is the address it used."""
    secure = "; Secure" if base_url.startswith("https:") else ""
    return f"{COOKIE}={token}; Path=/; SameSite=lax; HttpOnly{secure}"


def check_redirect(target: str) -> str:
    """Return `target` if it is a path on this server.  Raises `Invalid`: an open redirect helps phishing."""
    if len(target) > _REDIRECT_CHARS_MAX or not _LOCAL_PATH.fullmatch(target):
        raise Invalid("redirect leads away", {"redirect": ["must be a path on this server, such as /flow"]})
    return target


def check_page(headers: Mapping[str, str]) -> None:
    """Raise `Denied` if a browser sends the cookie with a WebSocket that a page of another site wants.

    Which pages are ours the edge says (`origins.lua`); of other requests it lets no cookie through.
    """
    if FOREIGN_HEADER in headers:
        raise Denied("a cookie counts on pages of this site only: send the token in a header")
