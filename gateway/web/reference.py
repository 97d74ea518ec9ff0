"""The reference: the OpenAPI document of each dialect at `/openapi/{name}.json`, and as pages under `/docs`.

`make openapi` writes the documents into `gateway/web/openapi`, and CI refuses stale ones.  Pages are made of them when
they are first asked for, and need no script and nothing from elsewhere; with a script one may call an operation there.
"""

import functools
import hashlib
import importlib.resources
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.http.browsers import policy
from gateway.http.dialect import Dialects
from gateway.http.refusals import refuse
from gateway.web.panel import assets
from meshkit.errors import NotFound

CSP = policy(
    importlib.resources.files("gateway.web").joinpath("templates", "page.html").read_text("utf-8"),
    "form-action 'none'",
    "script-src 'self'",
    "connect-src 'self'",
    framed_by="'self'",
)
PATHS = r"/docs(/[a-z0-9]+)?|/openapi/[a-z0-9-]+\.json"
"""A regular expression for the paths that are answered here."""
_VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
_REF = "#/components/schemas/"

_markdown = MarkdownIt("commonmark", {"html": False})
_pages = jinja2.Environment(
    loader=jinja2.PackageLoader("gateway.web", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def routes(dialects: Dialects) -> list[Route]:
    """Return what answers `PATHS`.  They are made in threads: the first look at a page takes 100 ms."""

    def show_document(request: Request) -> Response:
        return _answer(request, dialects, "application/json", _document(request.path_params["name"]))

    def show_as(name: str) -> Callable[[Request], Response]:
        return lambda request: _answer(request, dialects, "application/json", _document(name))

    def show_index(request: Request) -> Response:
        return _answer(request, dialects, "text/html; charset=utf-8", index(tuple(one.name for one in dialects.all)))

    def show_page(request: Request) -> Response:
        return _answer(request, dialects, "text/html; charset=utf-8", page(request.path_params["name"]))

    return [
        *(Route(path, show_as(one.name), methods=["GET"]) for one in dialects.all for path in one.document_paths),
        Route("/openapi/{name}.json", show_document, methods=["GET"]),
        Route("/docs", show_index, methods=["GET"]),
        Route("/docs/{name}", show_page, methods=["GET"]),
    ]


def _answer(request: Request, dialects: Dialects, kind: str, body: bytes | None) -> Response:
    if body is None:
        return refuse(request, NotFound("Not Found"), dialects)
    etag = _etag(body)
    # What was kept for one page is none for another, to which the edge may show it or not.
    headers = {"etag": etag, "cache-control": "public, max-age=300", "vary": "origin"}
    if kind.startswith("text/html"):
        headers["content-security-policy"] = CSP
    if etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=kind, headers=headers)


@functools.cache
def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


@functools.cache
def _document(name: str) -> bytes | None:
    file = importlib.resources.files("gateway.web").joinpath("openapi", f"{name}.json")
    return file.read_bytes() if name.isalnum() and file.is_file() else None


# -- pages -----------------------------------------------------------------------------------------------------------


@functools.cache
def index(names: tuple[str, ...]) -> bytes:
    """Return the page that lists the references."""
    known = [(name, json.loads(body)["info"]) for name in names if (body := _document(name)) is not None]
    return _pages.get_template("references.html").render(known=known, prose=_prose).encode()


@functools.cache
def page(name: str) -> bytes | None:
    """Return the reference of a dialect as a page; None if there is none of this name."""
    body = _document(name)
    if body is None:
        return None
    document = json.loads(body)
    values = {
        "name": name,
        "document": document,
        "groups": list(_groups(document)),
        "schemas": document["components"]["schemas"],
        "answers": functools.partial(_answers, document),
        "bodies": _bodies,
        "key_header": functools.partial(_key_header, document),
        "script": assets.url("reference.js"),
    }
    return _pages.get_template("reference.html").render(prose=_prose, kind=kind_of, dumps=_dumps, **values).encode()


def _groups(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[tuple[str, str, Any]]]]:
    for tag in document["tags"]:
        yield (
            tag,
            [
                (verb, path, item[verb])
                for path, item in document["paths"].items()
                for verb in _VERBS
                if verb in item and tag["name"] in item[verb]["tags"]
            ],
        )


def _answers(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for status, answer in operation["responses"].items():
        name = answer.get("$ref", "").rpartition("/")[2]
        yield status, document["components"]["responses"][name] if name else answer


def _bodies(operation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the body that one may type, if there is one: the first of those that are text."""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        if media != "multipart/form-data":
            yield media, content
            return


def _key_header(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    """Return the header that a key is sent in; empty where none is asked for."""
    for wanted in operation["security"]:
        for name in wanted:
            scheme = document["components"]["securitySchemes"][name]
            if scheme["type"] == "http":
                return "authorization"
            if scheme["in"] == "header":
                return str(scheme["name"]).lower()
    return ""


def _prose(text: str) -> Markup:
    return Markup(_markdown.render(text))  # markdown-it escapes what is HTML


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def kind_of(schema: Mapping[str, Any] | None) -> Markup:
    """Return what a schema allows, in few words, with links to named ones."""
    if not schema:
        return Markup("anything")
    if ref := schema.get("$ref"):
        name = ref.removeprefix(_REF)
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if options := schema.get("anyOf"):
        return Markup(" or ").join(kind_of(option) for option in options)
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return Markup(" | ").join(Markup("<code>{}</code>").format(value) for value in values)
    kind = schema.get("type")
    if kind == "array":
        return Markup("array of ") + kind_of(schema.get("items"))
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return Markup("object of ") + kind_of(schema["additionalProperties"])
    words = " or ".join(kind) if isinstance(kind, list) else str(kind or "anything")
    shape = schema.get("format") or schema.get("contentEncoding")
    return escape(f"{words} ({shape})" if shape else words)
