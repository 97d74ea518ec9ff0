"""What one line of the table of dialect services is."""

import dataclasses
from collections.abc import Callable
from typing import Any

from gateway.core.peers import Peers


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A gRPC service of a dialect and who answers it."""

    name: str
    """Its full name: `mesh.dialects.kodosumi.v1.AuthService`."""
    add: Callable[[Any, Any], None]
    """The generated `add_…Servicer_to_server`."""
    servicer: Callable[[Peers], Any]
    """Makes the servicer; most often its class."""
