"""What the auth service reads from the environment."""

import pydantic
from pydantic import SecretStr

from meshkit.errors import Invalid
from meshkit.service import Settings
from services.auth.domain import fields

DEFAULT_PASSWORD = "admin"
"""Of the account `admin`, while only this machine can reach the mesh."""


class ConfigError(Exception):
    """The service cannot start like this; the message says what to change."""


class Config(Settings):
    """The shared settings, and who the first operator is."""

    admin_password: SecretStr = SecretStr("")
    """Password of the account `admin`; required once others than this machine are to reach the mesh
    (`AGENTMESH_ADMIN_PASSWORD`)."""

    admin_email: str = ""
    """E-mail address of the account `admin`; empty leaves it as it is, admin@example.com at first
    (`AGENTMESH_ADMIN_EMAIL`)."""

    @pydantic.field_validator("admin_email")
    @classmethod
    def _an_address(cls, email: str) -> str:
        if email:
            try:
                fields.check_fields({"email": email})
            except Invalid as error:
                raise ValueError(error.fields["email"][0]) from None
        return email

    def initial_password(self) -> str:
        """Return the password that `admin` must have; empty if whatever it has may stay.

        Raises `ConfigError` if the mesh would be open to others under the default password.
        """
        password = self.admin_password.get_secret_value()
        if self.opening and password in ("", DEFAULT_PASSWORD):
            raise ConfigError(
                f"agentmesh: {self.opening}, which other machines can reach, so the account 'admin' needs a password"
                " of its own: set AGENTMESH_ADMIN_PASSWORD (not 'admin'), or let this machine only reach the mesh"
            )
        return password
