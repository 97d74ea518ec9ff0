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


@pytest.mark.parametrize("password", ["", "admin"])
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("public_url", "https://mesh.example.com"),
        ("public_url", "http://10.0.0.5:3370/"),
        ("allowed_hosts", "localhost,mesh.lan:80"),
        ("allowed_hosts", "localhost.evil.example"),
        ("host", "10.0.0.5"),
    ],
)
def test_so_does_one_with_another_name(setting: str, value: str, password: str) -> None:
    """A proxy is in front of it, most likely: the message names the setting."""
    config = settings("127.0.0.1", password).model_copy(update={setting: value})
    with pytest.raises(ConfigError, match=f"AGENTMESH_{setting.upper()} .*AGENTMESH_ADMIN_PASSWORD"):
        config.initial_password()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("public_url", "http://localhost:3370"),
        ("public_url", "https://127.0.0.1"),
        ("allowed_hosts", "localhost, 127.0.0.2:80,[::1]:3370,::1,localhost."),
    ],
)
def test_other_names_of_loopback_do_not_matter(setting: str, value: str) -> None:
    """Nobody else has them."""
    config = settings("127.0.0.1", "").model_copy(update={setting: value})

    assert ("", "") == (config.opening, config.initial_password())


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
