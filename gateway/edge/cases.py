"""Paths in which upper and lower case are the same: `edge.lua` writes them as the contract does, ahead of all."""

from collections.abc import Iterator, Mapping, Sequence

from gateway.edge import contract
from gateway.edge.front import Front


def patterns(
    dialect: Front, services: Sequence[contract.Service], prefixes: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield a dialect's paths for `edge.lua`, in the order in which they are tried; none if case matters in them.

    `*` is a segment that is kept as it is, `**` any number of them at the end.
    """
    if not dialect.is_caseless:
        return
    for template in (*contract.templates(services, dialect.name), *dialect.document_paths):
        segments = template.split("/")
        yield "/".join("*" if segment.startswith("{") else segment for segment in segments)
    for prefix in prefixes[dialect.name]:
        yield prefix
        yield f"{prefix}/**"
