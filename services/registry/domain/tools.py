"""Tools: what agents may use.  Some come with the mesh (`BUILTINS`); the others are endpoints that users name."""

import dataclasses
import datetime
import enum
import re
from typing import Any, ClassVar

from meshkit.errors import AlreadyExists, Denied
from services.registry.domain import slugs
from services.registry.domain.checks import Checks
from services.registry.domain.records import Draft, Kind, Record, check_etag

DESCRIPTION_CHARS_MAX = 2_000
CATEGORY_CHARS_MAX = 63
SCHEMA_BYTES_MAX = 64 * 1024
AUTH_TOKEN = "auth_token"
"""The field that holds its secret."""
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")
_NEVER = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class ToolKind(enum.Enum):
    """What a tool is."""

    BUILTIN = "BUILTIN"
    HTTP = "HTTP"
    MCP = "MCP"


class ToolAuth(enum.Enum):
    """How a tool is authorised."""

    NONE = "NONE"
    BEARER = "BEARER"
    API_KEY = "API_KEY"
    BASIC = "BASIC"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToolDraft(Draft):
    """What somebody writes of a tool."""

    display_name: str
    description: str = ""
    category: str = ""
    tool_kind: ToolKind | None = None
    endpoint: str = ""
    auth: ToolAuth = ToolAuth.NONE
    input_schema_json: str = ""
    needs_approval: bool = False
    enabled: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tool(Record, ToolDraft):
    """A tool as it is kept."""

    kind: ClassVar[Kind] = Kind.TOOLS
    word: ClassVar[str] = "tool"

    tool_kind: ToolKind
    has_auth_token: bool = False

    @property
    def handle(self) -> str:
        """What models call it."""
        return self.display_name

    @property
    def is_builtin(self) -> bool:
        """Whether it comes with the mesh."""
        return self.tool_kind is ToolKind.BUILTIN


def _builtin(name: str, category: str, description: str, schema: str) -> Tool:
    return Tool(
        id=name,
        owner="",
        created_at=_NEVER,
        updated_at=_NEVER,
        display_name=name,
        description=description,
        category=category,
        tool_kind=ToolKind.BUILTIN,
        input_schema_json=schema,
    )


BUILTINS = {
    tool.id: tool
    for tool in (
        _builtin(
            "web_search",
            "research",
            "Search the web: not configured on this mesh, so it finds nothing and says so.",
            '{"type":"object","properties":{"query":{"type":"string","minLength":1,"maxLength":1000}},'
            '"required":["query"],"additionalProperties":false}',
        ),
        _builtin(
            "calculator",
            "data",
            "Works out an arithmetic expression, such as (2 + 3) * 4 ** 0.5.",
            '{"type":"object","properties":{"expression":{"type":"string","minLength":1,"maxLength":1000}},'
            '"required":["expression"],"additionalProperties":false}',
        ),
        _builtin(
            "file_reader",
            "data",
            "Read files that came with the job, each by its name.",
            '{"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":1000}},'
            '"required":["name"],"additionalProperties":false}',
        ),
    )
}
"""What comes with the mesh, by name, in the order in which it is listed."""


def create(draft: ToolDraft, *, tool_id: str, owner: str, has_token: bool, now: datetime.datetime) -> Tool:
    """Return a new tool; raise `Invalid` with the fields, and `AlreadyExists` for the name of a built-in."""
    check(draft, has_token=has_token)
    return Tool(**_values(draft), id=tool_id, owner=owner, has_auth_token=has_token, created_at=now, updated_at=now)


def update(stored: Tool, wanted: ToolDraft, *, etag: str, token: bool | None, now: datetime.datetime) -> Tool:
    """Return a tool after a change; raise `Invalid` with the fields, `Conflict` if `etag` is old.

    `token` says whether one is given, or taken away; None leaves it, unless the authorisation is another now.
    """
    check_etag(stored, etag)
    has_token = (stored.has_auth_token and wanted.auth is stored.auth) if token is None else token
    check(wanted, has_token=has_token)
    values = {**_values(wanted), "has_auth_token": has_token}
    return dataclasses.replace(stored, **values, version=stored.version + 1, updated_at=now)


def archive(stored: Tool, now: datetime.datetime) -> Tool:
    """Return a tool that is archived; its token is forgotten."""
    return dataclasses.replace(stored, version=stored.version + 1, updated_at=now, deleted_at=now, has_auth_token=False)


def check_own(tool: Tool) -> None:
    """Raise `Denied` for a tool that comes with the mesh."""
    if tool.is_builtin:
        raise Denied(f"{tool.name} comes with the mesh and cannot be changed", resource=tool.name)


def check(draft: ToolDraft, *, has_token: bool) -> None:
    """Raise `Invalid` with all that is wrong with what somebody wrote.

    Where the endpoint leads and whether the schema is one are for others to see.
    """
    checks = Checks("tool")
    checks.pattern("display_name", draft.display_name, _NAME)
    if slugs.is_id(draft.display_name):
        checks.refuse("display_name", "must not look like an id")
    checks.text("description", draft.description, chars_max=DESCRIPTION_CHARS_MAX)
    checks.text("category", draft.category, chars_max=CATEGORY_CHARS_MAX, lines=False)
    if draft.tool_kind not in (ToolKind.HTTP, ToolKind.MCP):
        checks.refuse("kind", "must be TOOL_KIND_HTTP or TOOL_KIND_MCP")
    if not draft.endpoint:
        checks.refuse("endpoint", "must not be empty")
    if draft.tool_kind is ToolKind.MCP and draft.input_schema_json:
        checks.refuse("input_schema_json", "an MCP server says itself what its tools take")
    if len(draft.input_schema_json.encode(errors="replace")) > SCHEMA_BYTES_MAX:
        checks.refuse("input_schema_json", f"at most {SCHEMA_BYTES_MAX:,} bytes")
    if has_token and draft.auth is ToolAuth.NONE:
        checks.refuse("auth", "must say how the token is sent, such as TOOL_AUTH_BEARER")
    checks.done("the tool")
    if draft.display_name in BUILTINS:
        raise AlreadyExists(
            f"a tool that comes with the mesh is called {draft.display_name!r}: choose another name",
            resource=f"tools/{draft.display_name}",
        )


def _values(draft: ToolDraft) -> dict[str, Any]:
    return {field.name: getattr(draft, field.name) for field in dataclasses.fields(ToolDraft)}
