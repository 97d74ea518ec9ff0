"""What the edge has to know of a dialect: `gateway.http.dialect.Dialect` has it all."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.config import EdgeConfig
from meshkit.verifier import Credentials

NOBODY = "nobody"
"""In the place of a tier: callers without a token that holds, each address by itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """So many requests may come at once, and so many more every `per_s` seconds."""

    requests: int
    per_s: int = 1


Rates = Mapping[str, tuple[Rate, ...]]
"""What one user may send, by tier; all rates of a tier hold at once.  A tier without any has no limit here."""


class Front(Protocol):
    """One foreign API, seen from the front door."""

    @property
    def name(self) -> str:
        """Such as `kodosumi`."""

    @property
    def package(self) -> str:
        """Of its protos: `mesh.dialects.kodosumi.v1`."""

    @property
    def envoy_body(self) -> Callable[[int], Mapping[str, Any]]:
        """Makes the JSON of Envoy's own reply with an HTTP status, with Envoy's `%COMMAND%`s in it."""

    @property
    def error_type(self) -> str:
        """The media type of those bodies."""

    @property
    def is_caseless(self) -> bool:
        """Whether upper and lower case are the same in its paths."""

    @property
    def local_pages(self) -> bool:
        """Whether pages of any port of this machine may call it, while the mesh listens on loopback only."""

    @property
    def document_paths(self) -> tuple[str, ...]:
        """Where its reference is, beside `/openapi/{name}.json`."""

    @property
    def credentials(self) -> Credentials:
        """Where its callers put their token."""

    @property
    def own_cookies(self) -> tuple[str, ...]:
        """Cookies beside those of `credentials` that count where the page is ours only."""

    def rates_by(self, config: EdgeConfig) -> Rates:
        """Return what a user may send, beside what the mesh lets them."""

    @property
    def unserved(self) -> tuple[str, ...]:
        """Paths that are its own although nothing is there."""

    @property
    def socket_paths(self) -> tuple[str, ...]:
        """The path templates of its WebSockets."""

    @property
    def passage_prefixes(self) -> tuple[str, ...]:
        """Below which paths HTTP is passed on as it is, by the web app."""
