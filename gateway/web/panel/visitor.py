"""Who looks at a page, and what they sent."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.http.exchange import BASE_URL_HEADER
from gateway.http.multipart import Sent
from gateway.web.panel import shell
from meshkit.interceptors.streams import Open
from meshkit.principal import NOBODY, Principal
from meshkit.verifier import TokenVerifier


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """One request of somebody who is signed in."""

    request: Request
    form: Mapping[str, str]
    """What was sent in a form."""
    files: Sequence[Sent] = ()
    """The files that came with it."""
    name: str
    default_password: bool
    waiting: int
    """How many questions wait for an answer of theirs."""
    operator: bool
    principal: Principal = NOBODY
    verifier: TokenVerifier | None = None
    live: Open | None = None
    """Counts pages that change by themselves, each for as long as it is looked at."""

    @property
    def base_url(self) -> str:
        """The address that the browser used."""
        return self.request.headers.get(BASE_URL_HEADER, "")

    def query(self, name: str) -> str:
        """Return a field of the query, without blanks around it."""
        return self.request.query_params.get(name, "").strip()

    def path(self, name: str) -> str:
        """Return a part of the path, decoded."""
        return str(self.request.path_params.get(name, ""))

    def page(self, template: str, **values: Any) -> Response:
        """Answer with a page."""
        return shell.respond(self.request, template, me=self, **values)
