"""What a flow is called as a service: `{expose}` for the root flow, `{expose}/{name}` for others, one to one.

A name is the last segment of the flow's path, in lower case and without what no name may have, as kodosumi does it.
That gives `/a/one` and `/b/one` one name, and `/日本語` none.  So only one flow of an expose has the name: the one
whose path it is, else the first by path.  The others, and those whose name would be empty or would mean something else
in a path, have a digest of their path behind it.  That longer name is every flow's for good, whatever flows come and
go.
"""

import hashlib
import re
from collections.abc import Iterable

from agentmesh_protos.registry.v1 import registry_pb2

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
RESERVED = frozenset(("availability", "input_schema", "start_job", "provide_input", "status", "demo"))
"""What a path has in the place of a name."""
_SPACES = re.compile(r"\s+")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_HYPHENS = re.compile(r"-{2,}")
_DIGITS = 8


def expose_of(flow: registry_pb2.Flow) -> str:
    """Return the id of a flow's expose."""
    return flow.expose.removeprefix("exposes/")


def by_id(flows: Iterable[registry_pb2.Flow]) -> dict[str, registry_pb2.Flow]:
    """Return flows by their service ids.  They must be all of an expose: what one is called depends on the others."""
    found: dict[str, registry_pb2.Flow] = {}
    # The flow whose path a name is comes ahead of those that are only called so.
    for flow in sorted(flows, key=lambda flow: (plain(flow.path) != flow.path.strip("/"), flow.path)):
        name = plain(flow.path)
        service = service_id(expose_of(flow), name)
        if service in found or not _may_be(flow.path, name):
            service = service_id(expose_of(flow), lasting(flow.path))
        found[service] = flow
    return found


def names(path: str) -> frozenset[str]:
    """Return every name that a flow at this path may have among the services of its expose."""
    return frozenset((plain(path), lasting(path)))


def service_id(expose: str, name: str) -> str:
    """Return `{expose}` or `{expose}/{name}`."""
    return f"{expose}/{name}" if name else expose


def plain(path: str) -> str:
    """Return the short name of a flow; empty for the root, and for a path that has nothing that may be in a name."""
    last = path.strip("/").rpartition("/")[2].strip()
    return _HYPHENS.sub("-", _NOT_IN_NAMES.sub("", _SPACES.sub("-", last))).lower()


def lasting(path: str) -> str:
    """Return the name of a flow that no other flow of its expose can have; empty for the root."""
    inner = path.strip("/")
    if not inner:
        return ""
    digest = hashlib.sha256(inner.encode()).hexdigest()[:_DIGITS]
    return f"{plain(path).strip('-_') or 'flow'}-{digest}"


def _may_be(path: str, name: str) -> bool:
    """Return whether the short name of a flow can be asked for."""
    if not path.strip("/"):
        return True
    return NAME.match(name) is not None and name not in RESERVED
