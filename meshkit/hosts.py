"""Names and addresses of machines."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine and can be reached from no other.

    Takes an address, in brackets or not, or a name; names other than `localhost` count as reachable.
    """
    host = host.strip().removeprefix("[").removesuffix("]").lower()
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
