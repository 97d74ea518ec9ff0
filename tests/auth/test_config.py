"""Nobody else reaches a mesh with the default password."""

import pathlib

import pytest
from pydantic import SecretStr

from services.auth.config import Config, ConfigError


def settings(host: str, password: str) -> Config:
    """Return a configuration."""
    return Config(data_dir=pathlib.Path("unused"), host=host, admin_password=SecretStr(password))


@pytest.mark.parametrize("password", ["", "admin"])
def test_an_open_mesh_needs_a_password(password: str) -> None:
    """The message says which variable to set."""
    with pytest.raises(ConfigError, match="AGENTMESH_ADMIN_PASSWORD"):
        settings("0.0.0.0", password).initial_password()


@pytest.mark.parametrize(("host", "password"), [("127.0.0.1", ""), ("127.0.0.1", "admin"), ("0.0.0.0", "s3cret")])
def test_a_mesh_that_may_start(host: str, password: str) -> None:
    """With the password that was given, if any; it is not in any log of the settings."""
    config = settings(host, password)

    assert password == config.initial_password()
    assert not password or f"={password}" not in repr(config).replace("'", "")


def test_an_address_that_is_none_is_refused_at_the_start() -> None:
    """Naming the setting."""
    with pytest.raises(ValueError, match=r"admin_email[\s\S]*must be an e-mail address"):
        Config(data_dir=pathlib.Path("unused"), admin_email="nobody")
