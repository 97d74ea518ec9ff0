"""The page of settings names what the code reads, all of it, with the defaults that hold."""

import json
import pathlib
import re
from typing import Any

import pydantic
import pytest

import gateway.config
import services.auth.config
import services.ledger.config
import services.payments.config
import services.registry.config
import services.runner.config
from meshkit.service import Settings
from tests.readme.snippets import ROOT

PAGE = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
ROWS = set(re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|empty) \|", PAGE, re.M))
CLASSES: list[type[Settings]] = [
    Settings,
    gateway.config.EdgeConfig,
    services.auth.config.Config,
    services.registry.config.Config,
    services.runner.config.Config,
    services.payments.config.Config,
    services.ledger.config.Config,
]
FOLDERS = {"data_dir": pathlib.Path("data"), "sockets_dir": pathlib.Path("data/sockets")}
CODE = ("agentmesh", "services", "gateway", "meshkit")
INTERNAL = {
    "AGENTMESH_SECRETS_FD",
    "AGENTMESH_RAY_OWN",
    "AGENTMESH_RAY_PORT",
    "AGENTMESH_RAY_CLIENT_PORT",
    "AGENTMESH_RAY_FOLDER",
}
"""What the mesh tells its own programs, and nobody sets."""


def shown(value: Any) -> str:
    """Return a default as the page has it."""
    if isinstance(value, pydantic.SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return json.dumps(value)
    return "" if value is None or value == {} else str(value)


def declared(settings: type[Settings]) -> set[tuple[str, str]]:
    """Return the names and defaults of a class."""
    return {
        (
            str(field.validation_alias or f"AGENTMESH_{name.upper()}"),
            shown(field.get_default(call_default_factory=True, validated_data=FOLDERS)),
        )
        for name, field in settings.model_fields.items()
    }


@pytest.mark.parametrize("settings", CLASSES, ids=lambda settings: settings.__module__)
def test_each_setting_is_on_the_page(settings: type[Settings]) -> None:
    """With its default."""
    assert not declared(settings) - ROWS


def test_the_page_names_none_that_is_gone() -> None:
    """Nor a default that does not hold."""
    assert not ROWS - set().union(*map(declared, CLASSES))


def test_what_is_read_without_a_class_is_on_the_page() -> None:
    """By the command line, and by hosts."""
    found = set()
    for package in CODE:
        for path in (ROOT / package).rglob("*.py"):
            found |= set(re.findall(r"\bAGENTMESH_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))

    assert "AGENTMESH_TOKEN" in found
    assert found >= INTERNAL
    assert not {name for name in found - INTERNAL if f"`{name}`" not in PAGE}
    assert not {name for name in INTERNAL if name in PAGE}
