"""What the auth service reads from the environment."""

import ipaddress

from pydantic import SecretStr

from meshkit.service import Settings

DEFAULT_PASSWORD = "admin"
"""Of the account `admin`, while only this machine can reach the mesh."""


class ConfigError(Exception):
    """The service cannot start like this; the message says what to change."""


class Config(Settings):
    """The shared settings, and who the first operator is."""

    host: str = "127.0.0.1"
    """Where the mesh's public port is bound (`AGENTMESH_HOST`)."""

    admin_password: SecretStr = SecretStr("")
    """Password of the account `admin`; required unless `host` is loopback (`AGENTMESH_ADMIN_PASSWORD`)."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the mesh."""
        return is_loopback(self.host)

    def initial_password(self) -> str:
        """Return the password that `admin` must have; empty if whatever it has may stay.

        Raises `ConfigError` if the mesh would be open to others under the default password.
        """
        password = self.admin_password.get_secret_value()
        if not self.loopback and password in ("", DEFAULT_PASSWORD):
            raise ConfigError(
                f"agentmesh: AGENTMESH_HOST is {self.host}, which other machines can reach, so the account 'admin'"
                " needs a password of its own: set AGENTMESH_ADMIN_PASSWORD (not 'admin'), or bind to 127.0.0.1"
            )
        return password


def is_loopback(host: str) -> bool:
    """Return whether binding to `host` keeps other machines out.  Names other than localhost count as reachable."""
    host = host.strip().removeprefix("[").removesuffix("]").lower()
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
