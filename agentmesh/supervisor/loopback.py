"""Whether an address is this machine's own, which no other can reach."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether `host`, an address or a name, is loopback; names other than `localhost` count as reachable."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
