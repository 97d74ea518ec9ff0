"""Which paths are a dialect's: derived from the paths of its methods and sockets.

A path that nobody knows still belongs to somebody: who asks for `/api/v1/payment/nonsense` wants to be told so in the
words of the payment service.  A dialect's prefixes are the shortest paths under which it alone has something; two that
share `/api/v1` have `/api/v1/payment` and `/api/v1/executions` each.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from gateway.edge import contract
from gateway.edge.front import Front

Segments = tuple[str, ...]
_NOBODYS = ("/openapi", "/docs", "/health", "/panel")
"""Pages of the mesh itself: a dialect may have a path below, and no more."""


def of_dialects(dialects: Sequence[Front], services: Iterable[contract.Service]) -> dict[str, tuple[str, ...]]:
    """Return the prefixes of each dialect, by name; the first has none, as all is its own that is nobody else's."""
    services = list(services)
    templates = {
        dialect.name: [
            *contract.templates(services, dialect.name),
            *dialect.socket_paths,
            *dialect.document_paths,
            *dialect.unserved,
        ]
        for dialect in dialects
    }
    found = exclusive({**templates, "": _NOBODYS})
    return {dialect.name: found[dialect.name] if number else () for number, dialect in enumerate(dialects)}


def literal(dialect: Front, services: Iterable[contract.Service]) -> tuple[str, ...]:
    """Return what is in front of the variables of a dialect's paths, sorted: of one that has no prefix of its own."""
    templates = [*contract.templates(services, dialect.name), *dialect.socket_paths]
    found = {"/".join(("", *_literal(template))) for template in templates}
    return tuple(sorted(found - {""}))


def exclusive(templates: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return, by owner, the shortest paths under which no template of another owner is; sorted."""
    paths = {owner: {_literal(template) for template in each} for owner, each in templates.items()}
    owners: dict[Segments, set[str]] = {}
    for owner, each in paths.items():
        for path in each:
            for depth in range(1, len(path) + 1):
                owners.setdefault(path[:depth], set()).add(owner)
    return {owner: tuple(sorted(_shortest(each, owners))) for owner, each in paths.items()}


def _literal(template: str) -> Segments:
    """Return the whole segments in front of the first variable."""
    literal, variable, _ = template.partition("{")
    if variable:
        literal = literal.rpartition("/")[0]
    return tuple(segment for segment in literal.split("/") if segment)


def _shortest(paths: Iterable[Segments], owners: Mapping[Segments, set[str]]) -> set[str]:
    found = set()
    for path in paths:
        depths = (depth for depth in range(1, len(path) + 1) if len(owners[path[:depth]]) == 1)
        if (depth := next(depths, 0)) > 0:
            found.add("/" + "/".join(path[:depth]))
    return found


def covers(prefix: str, path: str) -> bool:
    """Return whether `path` is `prefix` or below it."""
    return path == prefix or path.startswith(f"{prefix}/")


def regex(prefix: str) -> str:
    """Return the same as a regular expression for a whole path with its query."""
    return f"{re.escape(prefix)}([/?].*)?"
