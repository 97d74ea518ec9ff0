"""Styles and scripts of the panel, at addresses that name their content and are therefore kept for ever."""

import functools
import hashlib
import importlib.resources

from starlette.requests import Request
from starlette.responses import Response

from meshkit.errors import NotFound

_TYPES = {
    "panel.css": "text/css; charset=utf-8",
    "phone.css": "text/css; charset=utf-8",
    "panel.js": "text/javascript; charset=utf-8",
    "reference.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "hx-sse.min.js": "text/javascript; charset=utf-8",
}
_OURS = ("panel.css", "phone.css", "panel.js", "reference.js")
_KEPT = {"cache-control": "public, max-age=31536000, immutable"}
PREFIX = "/panel/static"


def url(name: str) -> str:
    """Return where a file is.  Raises `KeyError` for one that there is not."""
    return f"{PREFIX}/{_digest(name)}/{name}"


async def serve(request: Request) -> Response:
    """Answer with a file.  Raises `NotFound` also for content of another version: it must not be kept as this one's."""
    name = request.path_params["name"]
    if name not in _TYPES or request.path_params["digest"] != _digest(name):
        raise NotFound("there is no such file")
    return Response(_content(name), media_type=_TYPES[name], headers=_KEPT)


@functools.cache
def _digest(name: str) -> str:
    return hashlib.sha256(_content(name)).hexdigest()[:16]


@functools.cache
def _content(name: str) -> bytes:
    folder = importlib.resources.files("gateway.web.panel")
    if name not in _TYPES:
        raise KeyError(name)
    ours = name in _OURS
    return (folder.joinpath("static") if ours else folder.joinpath("vendor", "htmx.org")).joinpath(name).read_bytes()
