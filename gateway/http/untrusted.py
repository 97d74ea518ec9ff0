"""What code that is not the mesh's answers, made fit to be shown under the mesh's name.

A browser takes what comes from one host for one site.  So an app's page gets an origin of its own (`SANDBOX`), and of
an app's headers those are passed on that speak for the answer: not what speaks for the whole site (`Clear-Site-Data`,
`Alt-Svc`, `Strict-Transport-Security`, a cookie of ours, a service worker), nor for the connection.
"""

import functools
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import unquote, urljoin, urlsplit

from gateway.edge import contract
from gateway.http.errors import HttpError

SANDBOX = "sandbox allow-forms allow-scripts allow-popups allow-downloads allow-modals"
"""The Content-Security-Policy of an app's pages: they may act, but not as this site, so without its cookies."""
HEADERS_BYTES_MAX = 16 * 1024
"""Of an answer, names and values; Envoy takes 60 KiB from a service."""
SWITCHING = 101

_PASSED = frozenset(
    (
        "accept-ranges",
        "age",
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-range",
        "content-security-policy",
        "content-type",
        "deprecation",
        "etag",
        "expires",
        "idempotency-key",
        "last-modified",
        "link",
        "location",
        "pragma",
        "preference-applied",
        "ratelimit-limit",
        "ratelimit-policy",
        "ratelimit-remaining",
        "ratelimit-reset",
        "retry-after",
        "sec-websocket-protocol",
        "server-timing",
        "set-cookie",
        "sunset",
        "traceparent",
        "tracestate",
        "vary",
        "warning",
    )
)
"""Beside these, what begins with `x-` or `access-control-` and is not of `_OURS`."""
_OURS = ("x-kodosumi", "x-mesh-", "x-envoy-", "x-http-", "x-forwarded-", "x-ratelimit-")
_SET_HERE = ("x-content-type-options", "x-frame-options", "x-accel-redirect")
_NAME = re.compile(r"[0-9a-z!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")


def status(number: int) -> int:
    """Return an answer's status.  Raises `HttpError` 502 for what is the status of no answer."""
    if not 200 <= number <= 599:
        raise HttpError(502, f"the app answered with status {number}, which is none of an answer")
    return number


def headers(
    sent: Iterable[tuple[str, str]], *, cookies: Collection[str], url: str, sandboxed: bool
) -> list[tuple[str, str]]:
    """Return what of an app's headers is passed on, names in lower case, with what its pages may do.

    `cookies` are the names of ours, `url` is what was asked for.  Raises `HttpError` 502 if they are too many, or lead
    to where only people may go by themselves, such as a sign-in.
    """
    passed = list(_passed(sent, cookies))
    if sum(len(name) + len(value) for name, value in passed) > HEADERS_BYTES_MAX:
        raise HttpError(502, f"the app answered with more than {HEADERS_BYTES_MAX} bytes of headers")
    if any(_acts(url, value) for name, value in passed if name in ("location", "content-location")):
        raise HttpError(502, "the app's answer leads to where only people may go by themselves")
    if sandboxed:
        passed.append(("content-security-policy", SANDBOX))
    return passed


def _passed(sent: Iterable[tuple[str, str]], cookies: Collection[str]) -> Iterator[tuple[str, str]]:
    for sent_name, value in sent:
        name = sent_name.lower()
        if name not in _PASSED and not name.startswith(("x-", "access-control-")):
            continue
        if name.startswith(_OURS) or name in _SET_HERE:
            continue
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            continue  # HTTP cannot carry it
        if name == "set-cookie" and not _is_theirs(value, cookies):
            continue
        yield name, value


def _is_theirs(cookie: str, cookies: Collection[str]) -> bool:
    name, separator, _ = cookie.partition(";")[0].partition("=")
    # One without a name is sent back as what it holds, which may look like one of ours.
    return bool(separator) and bool(name.strip()) and name.strip() not in cookies


def _acts(url: str, location: str) -> bool:
    """Return whether a redirect leads to a path of this host whose GET does something: browsers would call it ours."""
    seen = location.replace("\t", "").strip().replace("\\", "/")  # as browsers read it
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, seen))
    except ValueError:
        return True
    if there.netloc.lower() != here.netloc.lower():
        return False
    path = posixpath.normpath(unquote(there.path) or "/")
    return any(pattern.fullmatch(f"/{path.lstrip('/')}") for pattern in _acting())


@functools.cache
def _acting() -> tuple[re.Pattern[str], ...]:
    methods = (method for service in contract.services(contract.descriptors()) for method in service.methods)
    templates = [template for method in methods if method.acts for verb, template in method.bindings if verb == "GET"]
    return tuple(re.compile(contract.pattern(template)) for template in templates)
