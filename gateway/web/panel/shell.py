"""What all pages of the panel have in common: the template around them, the theme, what a browser may do with them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.http.cookies import DELETED
from gateway.http.errors import http_status
from gateway.http.exchange import PATH_HEADER
from gateway.web.panel import assets, shown
from meshkit import clock
from meshkit.errors import Exhausted, MeshError

HOME = "/panel/flows"
LIVE = "/panel/live/"
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "agentmesh_theme"
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; {media}; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
CSP = _CSP.format(media="img-src 'self'")
WRITTEN_CSP = _CSP.format(media="img-src http: https: data:; media-src http: https:; style-src-attr 'unsafe-inline'")
"""Of pages with what flows wrote: their images, and text in the colours of a terminal (`gateway.core.render`)."""
_TITLES = {
    400: "That cannot be done like this",
    401: "Please sign in",
    403: "This is not for you",
    404: "There is no such page",
    405: "That cannot be done here",
    409: "That cannot be done now",
    429: "Too many requests",
    503: "Back in a moment",
    504: "That took too long",
}

_pages = jinja2.Environment(
    loader=jinja2.PackageLoader("gateway.web.panel", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.globals.update(
    asset=assets.url,
    badge=shown.badge,
    ago=shown.ago,
    ahead=shown.ahead,
    dated=shown.dated,
    duration=shown.duration,
    left=shown.left,
    moment=shown.moment,
    word=shown.word,
    now=clock.now,
)


def render(template: str, **values: Any) -> str:
    """Render a template; values are escaped, unless they are marked as safe."""
    page = _pages.get_template(template).render(**values)
    return page.encode(errors="replace").decode()  # half a surrogate pair, from a host that is not ours


def respond(
    connection: HTTPConnection, template: str, *, status: int = 200, csp: str = CSP, **values: Any
) -> HTMLResponse:
    """Answer with a page; `me` is who sees it, as `Visitor`, None for nobody."""
    page = render(template, theme=theme_of(connection), here=target_of(connection), **{"me": None, **values})
    return HTMLResponse(page, status_code=status, headers={"content-security-policy": csp, "cache-control": "no-store"})


def target_of(connection: HTTPConnection) -> str:
    """Return path and query as the client sent them."""
    return connection.headers.get(PATH_HEADER) or connection.url.path


def theme_of(connection: HTTPConnection) -> str:
    """Return the theme that was chosen; `auto` is the system's."""
    chosen = connection.cookies.get(THEME_COOKIE, "auto")
    return chosen if chosen in THEMES else "auto"


def see_other(target: str) -> Response:
    """Lead a browser that has sent a form to the page that shows what came of it."""
    return RedirectResponse(target, status_code=303)


def sign_in_page(connection: HTTPConnection, target: str) -> Response:
    """Answer with the page to sign in at, which leads to `target`, a path of ours."""
    return respond(connection, "sign_in.html", target=target)


def sign_in_first(connection: HTTPConnection) -> Response:
    """Lead somebody who is not signed in to where that is done, and from there to where they were going."""
    is_page = connection.scope["method"] in ("GET", "HEAD") and not target_of(connection).startswith(LIVE)
    door = f"/?{urlencode({'redirect': target_of(connection) if is_page else HOME})}"
    if "hx-request" in connection.headers:  # a script that followed would take that page for what it asked for
        response = Response(status_code=401, headers={"hx-redirect": door})
    else:
        response = RedirectResponse(door, status_code=302)
    response.headers.append("set-cookie", DELETED)
    return response


def error_page(
    connection: HTTPConnection, error: MeshError, text: str = "", *, returns: bool = False, **values: Any
) -> Response:
    """Answer with a page that says what went wrong (`text`, or what the error says), and what one can do.

    One that `returns` is asked for again until it is what was asked for.
    """
    status = http_status(error)
    title = _TITLES.get(status, "Something went wrong" if status >= 500 else _TITLES[400])
    headers: Mapping[str, str] = values.pop("headers", {})
    said: dict[str, Any] = {"title": title, "code": status, "message": text or str(error), "returns": returns}
    response = respond(connection, "error.html", status=status, **said, **values)
    response.headers.update(headers)
    return response


def too_many(connection: HTTPConnection, error: Exhausted, **values: Any) -> Response:
    """Answer 429: a page, or where htmx asks for a part a note above what is shown, which stays as it is."""
    headers = {"retry-after": str(max(1, round(error.retry_after_s)))}
    if "hx-request" not in connection.headers:
        return error_page(connection, error, headers=headers, **values)
    headers |= {"hx-retarget": "#main", "hx-reswap": "afterbegin", "cache-control": "no-store"}
    return HTMLResponse(render("parts/still.html", message=str(error)), status_code=http_status(error), headers=headers)
