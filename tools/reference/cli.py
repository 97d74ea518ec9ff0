"""The command line: each command, with its arguments, options and help."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main

from agentmesh.cli.app import build
from tools.reference.markdown import code, prose, table

_SHARED = {
    "--url": "Address of the mesh, `http://127.0.0.1:3370` unless given. Also `AGENTMESH_URL`.",
    "--json": "Print JSON, one object per line.",
}
_OPENING = """# Commands

[The command line](../cli.md) says what they are for, and what their exit codes mean; `agentmesh COMMAND --help` says
what this page says. What stands in brackets may be left out. Two options are the same wherever they are named:"""


def page() -> str:
    """Return the page."""
    shared = table(["Option", ""], ((code(name), text) for name, text in _SHARED.items()))
    parts = [_section(path, command) for path, command in _commands(typer.main.get_command(build()), "agentmesh")]
    return "\n\n".join([_OPENING, shared, *parts])


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{path} {name}")
    elif not command.hidden:
        yield path, command


def _section(path: str, command: Any) -> str:
    shown = [each for each in command.params if not each.hidden]
    shared = [code(each.opts[0]) for each in shown if each.opts[0] in _SHARED]
    rows = [[_names(each), _default(each), _help(each)] for each in shown if each.opts[0] not in _SHARED]
    usage = " ".join([path, *(_placed(each) for each in shown if each.param_type_name == "argument")])
    parts = [f"## {path}", code(usage), *map(prose, inspect.cleandoc(command.help or "").split("\n\n"))]
    parts += [table(["", "Unless given", ""], rows)] if rows else []
    return "\n\n".join([*parts, *([f"Also {' and '.join(shared)}."] if shared else [])])


def _placed(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper()) + ("…" if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return code(str(parameter.metavar or parameter.name.upper()))
    return ", ".join(map(code, (*parameter.opts, *parameter.secondary_opts)))


def _help(parameter: Any) -> str:
    variable = f" Also `{parameter.envvar}`." if parameter.envvar else ""
    return (
        prose(parameter.help or "") + variable + (" May be repeated." if getattr(parameter, "multiple", False) else "")
    )


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required or callable(value) or value in (None, False, "", [], ()):
        return "required" if parameter.required else ""
    return "on" if value is True else code(str(value))
