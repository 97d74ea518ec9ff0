"""Options of a command that stand among the values of a form: they may, unless the form has a field of that name."""

import contextlib
import functools
import math
from collections.abc import Awaitable, Callable, Set
from typing import Any

import typer

from agentmesh.cli.terminal.options import json_of
from agentmesh.cli.terminal.session import call
from agentmesh.client import AsyncClient, MeshError

ALWAYS = frozenset({"json", "url"})
Names = Callable[[AsyncClient], Awaitable[Set[str]]]


def taken(typed: dict[str, Any], options: Set[str], names: Names, url: str) -> tuple[set[str], str]:
    """Take the options of the command out of what is typed; return those without a value, and the address of the mesh.

    `names` says which fields the form has; the mesh is asked that would be asked without those options.  If it does not
    know the form, or none is there, an address that is typed is the mesh's.
    """
    if not options & typed.keys():
        return set(), url
    known = _known(names, url)
    said = {name for name in options & typed.keys() - known if typed[name] is True}
    address = typed.get("url")
    if "url" in options - known and isinstance(address, str):
        url = address
        del typed["url"]
    for name in said:
        del typed[name]
    return said, url


def valued(typed: dict[str, Any], options: Set[str], names: Names, url: str) -> dict[str, str]:
    """Take the options that have a value, other than the address, out of what is typed; return them."""
    if not options & typed.keys():
        return {}
    found = {name for name in options & typed.keys() - _known(names, url) if isinstance(typed[name], str)}
    return {name: typed.pop(name) for name in found}


def inputs(typed: dict[str, Any], text: str, names: Names, url: str) -> dict[str, Any]:
    """Return the inputs that --inputs has, wherever it stands; `text` is what it has at its own place."""
    return json_of(valued(typed, {"inputs"}, names, url).get("inputs") or text, "--inputs")


def number(text: str, option: str) -> float:
    """Return a number that is not negative.  Raises `typer.BadParameter`."""
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text)) < math.inf:
            return value
    raise typer.BadParameter(f"--{option} {text!r}: write a number that is not negative")


def count(text: str, option: str, most: int) -> int:
    """Return a whole number up to `most`.  Raises `typer.BadParameter`."""
    if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= most:
        return int(text)
    raise typer.BadParameter(f"--{option} {text!r}: write a whole number from 0 to {most}")


@functools.cache  # a command looks for several options, one after the other
def _known(names: Names, url: str) -> Set[str]:
    with contextlib.suppress(MeshError):
        return call(url, names)
    return set()
