"""The panel's pages: templates, and what a browser may do with what comes of them."""

from typing import Any

import jinja2
from google.api import httpbody_pb2

from gateway.http.exchange import exchange

CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src http: https: data:; media-src http: https:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
"""The Content-Security-Policy of the pages made here: they need no script."""

_pages = jinja2.Environment(
    loader=jinja2.PackageLoader("gateway.dialects.kodosumi", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, **values: Any) -> bytes:
    """Render `templates/{template}`; values are escaped, unless they are `safe`."""
    return _pages.get_template(template).render(**values).encode()


def html_answer(page: bytes, policy: str = CSP) -> httpbody_pb2.HttpBody:
    """Return a page, and tell the browser to let it do nothing else."""
    call = exchange()
    call.add_header("content-security-policy", policy)
    call.add_header("x-content-type-options", "nosniff")
    call.add_header("cache-control", "no-store")
    return httpbody_pb2.HttpBody(content_type="text/html; charset=utf-8", data=page)
