"""Who calls from this machine, and so needs no token of an API that was documented without (`ACCESS_LOCAL`).

This is the one place that decides it.  They all are one ordinary user, `meshkit.principal.LOCAL`, who sees what it has
made and nothing of anybody else.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from gateway.config import EVERY_DIALECT, Config
from gateway.http.exchange import BASE_URL_HEADER
from meshkit.net.hosts import is_loopback


def callers(config: Config) -> Callable[[Mapping[str, str]], bool]:
    """Return what says of a call's metadata whether a program of this machine makes it.

    Nobody does of a mesh that listens for other machines, or whose `local_access` is `refuse`.  A proxy of this machine
    does not count as the one whom it speaks for, a name of the attacker's that leads here (DNS rebinding) not as ours,
    and a page that a browser shows from elsewhere not as a program.
    """
    # Who may call every API was not named for one that asks for no token.
    pages = {origin for name, origins in config.origins.items() if name != EVERY_DIALECT for origin in origins}

    def is_local(metadata: Mapping[str, str]) -> bool:
        origin = metadata.get("origin", "").lower()
        return (
            # Envoy adds whom it talks to: a second address is of somebody who talks to a proxy.
            "," not in metadata.get("x-forwarded-for", "")
            and "forwarded" not in metadata
            and _leads_here(metadata.get(BASE_URL_HEADER, ""))
            and (not origin or origin in pages or _leads_here(origin))
        )

    return is_local if config.is_open else lambda metadata: False


def _leads_here(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
