"""What apps import of kodosumi that has no other place with us: constants, data types, and parts of its machinery.

The machinery (its spooler) is the mesh's affair here: it can be imported, for annotations and
`isinstance`, and says so when it is used.
"""

import time
from typing import Any, NoReturn

from pydantic import BaseModel, RootModel, field_validator

from agentmesh.errors import KodosumiError
from agentmesh.launch import EXTRA_HEADER, LAUNCH_HEADER
from agentmesh.response import HTML, Markdown, Text

CONSTANTS: dict[str, Any] = {
    **{
        f"EVENT_{kind.upper()}": kind
        for kind in (
            *("meta", "inputs", "agent", "upload", "debug", "stdout", "stderr", "lock", "lease", "payment"),
            *("status", "error", "action", "result", "final"),
        )
    },
    "MAIN_EVENTS": ("meta", "inputs", "agent", "status", "error", "action", "result", "final", "lock", "lease"),
    "STDIO_EVENTS": ("error", "stdout", "stderr", "debug", "upload"),
    "STATUS_STARTING": "starting",
    "STATUS_RUNNING": "running",
    "STATUS_AWAITING": "awaiting",
    "STATUS_PAYMENT": "payment",
    "STATUS_END": "finished",
    "STATUS_ERROR": "error",
    "STATUS_FINAL": ("finished", "error"),
    "NAMESPACE": "kodosumi",
    "SPOOLER_NAME": "Spooler",
    "KODOSUMI_LAUNCH": LAUNCH_HEADER,
    "KODOSUMI_USER": "x-kodosumi_user",
    "KODOSUMI_BASE": "x-kodosumi_base",
    "KODOSUMI_URL": "x-kodosumi-url",
    "KODOSUMI_EXTRA": EXTRA_HEADER,
    "KODOSUMI_API": "x-kodosumi",
    "KODOSUMI_AUTHOR": "x-author",
    "KODOSUMI_ORGANIZATION": "x-organization",
    "TOKEN_KEY": "kodosumi_jwt",
    "HEADER_KEY": "KODOSUMI_API_KEY",
    "DB_FILE": "sqlite3.db",
    "DB_FILE_WAL": "sqlite3.db-wal",
    "DB_FILE_SHM": "sqlite3.db-shm",
    "DB_ARCHIVE": ".archive",
}
"""`kodosumi.const`, but for what configures its panel."""


class DynamicModel(RootModel[dict[str, Any]]):
    """Any object."""


class RegisterFlow(BaseModel):
    """The body of `POST /flow/register`: one address, or several."""

    url: list[str]

    @field_validator("url", mode="before")
    @classmethod
    def _several(cls, url: Any) -> Any:
        return [url] if isinstance(url, str) else url


class File(BaseModel):
    """A file of a job."""

    path: str
    size: int
    last_modified: float


class Upload(BaseModel):
    """Files that were sent along."""

    files: list[File]


def now() -> float:
    """Return the time in seconds since 1970."""
    return time.time()


FORMATS = {"text": Text, "html": HTML, "markdown": Markdown}
"""`kodosumi.dtypes.format_map`."""


class _Unused:
    """Part of kodosumi's machinery."""

    instead = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise KodosumiError(f"{type(self).__name__}: {self.instead}")


class Spooler(_Unused):
    """Writes events into files; the mesh keeps them itself."""

    instead = "the mesh keeps the events of jobs itself, there is no spooler to start"


class SpoolerLock(Spooler):
    """Tells that a spooler runs."""


def spool(*args: Any, **kwargs: Any) -> NoReturn:
    """Refuse to run a spooler."""
    raise KodosumiError(Spooler.instead)
