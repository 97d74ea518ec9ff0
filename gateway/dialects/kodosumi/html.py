"""The panel's pages: templates, and what a browser may do with what comes of them."""

import importlib.resources
from typing import Any

import jinja2
from google.api import httpbody_pb2

from gateway.http.browsers import policy
from gateway.http.exchange import exchange

_BASE = importlib.resources.files("gateway.dialects.kodosumi").joinpath("templates", "base.html").read_text("utf-8")
_MEDIA = ("img-src http: https: data:", "media-src http: https:", "form-action 'self'")
CSP = policy(_BASE, *_MEDIA, framed_by="'self'")
"""The Content-Security-Policy of the pages made here: they need no script."""
COLOURED_CSP = policy(_BASE, *_MEDIA, "style-src-attr 'unsafe-inline'", framed_by="'self'")
"""Of those with text in the colours of a terminal (`gateway.core.render`), which are in attributes."""

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


def html_answer(page: bytes, csp: str = CSP) -> httpbody_pb2.HttpBody:
    """Return a page, and tell the browser to let it do nothing else."""
    call = exchange()
    call.add_header("content-security-policy", csp)
    call.add_header("cache-control", "no-store")
    return httpbody_pb2.HttpBody(content_type="text/html; charset=utf-8", data=page)
