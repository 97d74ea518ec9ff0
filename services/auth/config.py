"""What the auth service reads from the environment."""

from pydantic import SecretStr

from meshkit.service import Settings

DEFAULT_PASSWORD = "admin"
"""Of the account `admin`, while only this machine can reach the mesh."""


class ConfigError(Exception):
    """The service cannot start like this; the message says what to change."""


class Config(Settings):
    """The shared settings, and who the first operator is."""

    admin_password: SecretStr = SecretStr("")
    """Password of the account `admin`; required unless `host` is loopback (`AGENTMESH_ADMIN_PASSWORD`)."""

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
