"""Whatever `deploy/` and its guide name is there: settings, and commands of the command line."""

import re

import pytest
import typer

from agentmesh.cli.app import build
from tests.readme.snippets import ROOT

FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "deploy").rglob("*") if path.is_file())
SETTINGS = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", (ROOT / "docs/settings.md").read_text("utf-8")))
GUIDES = ("docs/deploy.md", "docs/sizing.md")


@pytest.mark.parametrize("file", [*FILES, *GUIDES])
def test_every_setting_that_is_named_is_one(file: str) -> None:
    """`docs/settings.md` has it."""
    named = set(re.findall(r"\b(?:AGENTMESH|CONTROL_PLANE)_[A-Z_]*[A-Z]", (ROOT / file).read_text("utf-8")))

    assert not named - SETTINGS


@pytest.mark.parametrize("file", GUIDES)
def test_every_command_that_is_named_is_one(file: str) -> None:
    """And has the options that it is given."""
    commands = typer.main.get_command(build()).commands  # type: ignore[attr-defined]
    said = re.findall(r"(?:^|`)agentmesh ([a-z]+)([^`\n]*)", (ROOT / file).read_text("utf-8"), re.M)

    for name, rest in said:
        assert name in commands, name
        command = commands[name]
        word = rest.split()[0] if rest.split() else ""
        command = getattr(command, "commands", {}).get(word, command)
        options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        assert set(re.findall(r"(?<=\s)(--[a-z-]+)", rest)) <= options, (name, rest)


def test_there_is_no_python_in_it() -> None:
    """It is told to others what to run; nothing in it runs by itself."""
    assert not [file for file in FILES if file.endswith(".py")]
