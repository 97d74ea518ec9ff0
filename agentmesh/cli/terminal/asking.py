"""Ask a person at a terminal: for the values of a form, for a password."""

import sys
from collections.abc import Iterable
from typing import Any

import typer

from agentmesh.cli.terminal import output


def password(label: str, instead: str, *, twice: bool = False) -> str:
    """Ask for a password.  Raises `ValueError` without a terminal, with what to do `instead`."""
    if not sys.stdin.isatty():
        raise ValueError(f"there is no terminal to ask for a password at: {instead}")
    return str(typer.prompt(label, hide_input=True, err=True, confirmation_prompt=twice))


def ask(fields: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Ask for each field by its label; an empty answer takes the form's default.  Prompts go to stderr."""
    return {str(field["name"]): _ask_one(field) for field in fields}


def _ask_one(field: dict[str, Any]) -> Any:
    kind, value = field.get("type"), field.get("value")
    label = output.clean(str(field.get("label") or field["name"])).strip()
    if kind == "boolean":
        question = output.clean(str(field.get("option") or "on"))
        return typer.confirm(label if question == "on" else f"{label}: {question}", default=bool(value), err=True)
    if kind in ("select", "radio"):
        return _choose(label, field)
    required = bool(field.get("required"))
    default = "" if value is None and not required else value
    return typer.prompt(
        label,
        default=None if default is None else str(default),
        show_default=default not in (None, ""),
        hide_input=kind == "password",
        err=True,
    )


def _choose(label: str, field: dict[str, Any]) -> str:
    """Ask for one of several options, by its name or its number."""
    options = [option for option in field.get("option") or () if isinstance(option, dict)]
    names = [str(option.get("name") or "") for option in options]
    for number, option in enumerate(options, 1):
        output.note(f"  {number}  {option.get('label') or option.get('name') or ''}")
    chosen = next((name for name, option in zip(names, options, strict=True) if option.get("value")), None)
    while True:
        said = str(typer.prompt(label, default=chosen, err=True)).strip()
        if said in names:
            return said
        if said.isdecimal() and 1 <= int(said) <= len(names):
            return names[int(said) - 1]
        output.note(f"  choose from 1 to {len(names)}")
