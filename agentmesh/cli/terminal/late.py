"""Options of a command that stand among the values of a form: they may, unless the form has a field of that name."""

import contextlib
from collections.abc import Awaitable, Callable, Set
from typing import Any

from agentmesh.cli.terminal.session import call
from agentmesh.client import AsyncClient, MeshError

ALWAYS = frozenset({"json", "url"})


def taken(
    typed: dict[str, Any], options: Set[str], names: Callable[[AsyncClient], Awaitable[Set[str]]], url: str
) -> tuple[set[str], str]:
    """Take the options of the command out of what is typed; return those without a value, and the address of the mesh.

    `names` says which fields the form has; the mesh is asked that would be asked without those options.  If it does not
    know the form, or none is there, an address that is typed is the mesh's.
    """
    if not options & typed.keys():
        return set(), url
    known: Set[str] = set()
    with contextlib.suppress(MeshError):
        known = call(url, names)
    said = {name for name in options & typed.keys() - known if typed[name] is True}
    address = typed.get("url")
    if "url" in options - known and isinstance(address, str):
        url = address
        del typed["url"]
    for name in said:
        del typed[name]
    return said, url
