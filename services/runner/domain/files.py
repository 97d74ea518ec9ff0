"""Files of jobs: what a path may be, and where a file is kept.

Whatever names a file comes through here; a key is made of ids of ours and of a path that was checked, so that no name
leads out of the folder of its job.
"""

import dataclasses
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

from meshkit.errors import Invalid

ROOTS = ("in", "out")
"""What a job was given, and what it makes."""
PATH_BYTES_MAX = 1024
_SEGMENT_BYTES_MAX = 255
_DEPTH_MAX = 32
PART_BYTES_MAX = 1024 * 1024
PARTS_MAX = 4096
PIECE_BYTES = 256 * 1024
"""Files are read and sent in pieces of at most so many bytes."""
FILES_MAX = 2000
"""Of one job."""
FILE_BYTES_MIN = 4096
"""What a file counts at least: an empty one costs something, too."""
UPLOADS = "uploads"
UNDER_WAY = "under-way"
"""Where files are that are not whole, beside the folders of owners."""
_OWNER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""With them `gpj.exe` is shown as another kind of file than it is."""
_ID = re.compile(r"[0-9a-f]{24,32}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A file as it is kept."""

    path: str
    """Within what was asked for."""
    size: int
    """In bytes."""
    modified_at: float
    """Seconds since 1970."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file on its way."""

    batch: str
    upload_id: str
    path: str
    """Where it will be, within its root."""
    part_count: int
    received: Mapping[int, int] = dataclasses.field(default_factory=dict)
    """Bytes of each part that is here, by its number."""

    def of(self, part_count: int) -> "Upload":
        """Return the same with another number of parts."""
        return dataclasses.replace(self, part_count=part_count)

    @property
    def size(self) -> int:
        """How many bytes are here."""
        return sum(self.received.values())

    @property
    def missing(self) -> int | None:
        """The first part that is not here; `None` if all are."""
        return next((number for number in range(self.part_count) if number not in self.received), None)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be kept, in bytes; 0 is no limit."""

    file_max: int = 0
    job_max: int = 0
    owner_max: int = 0


def checked_path(path: str) -> str:
    """Return a path of a file within its root.  Raises `Invalid` for one that is none, or that leads elsewhere."""
    problem = _problem(path)
    if problem:
        raise Invalid(f"{path[:80]!r} is no path of a file: {problem}", {"path": [problem]})
    return path


def _problem(path: str) -> str:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "it must be text"
    if not path or size > PATH_BYTES_MAX:
        return f"it must have 1 to {PATH_BYTES_MAX} bytes"
    if "\\" in path:
        return "it must have no backslash"
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in path):
        return "it must have no control characters"
    if _TURNING.search(path):
        return "it must have no characters that turn the direction of text"
    segments = path.split("/")
    if "" in segments:
        return "it must not begin or end with a slash, nor have two in a row"
    if any(not segment.strip(". ") for segment in segments):
        return "no part of it may be of dots or blanks only"
    if len(segments) > _DEPTH_MAX:
        return f"it must have at most {_DEPTH_MAX} parts"
    if any(len(segment.encode()) > _SEGMENT_BYTES_MAX for segment in segments):
        return f"each part of it must have at most {_SEGMENT_BYTES_MAX} bytes"
    return ""


def checked_root(root: str) -> str:
    """Return a root.  Raises `Invalid` for what is none."""
    if root not in ROOTS:
        raise Invalid(f"{root[:40]!r} is no root of files: use in or out", {"root": ["must be in or out"]})
    return root


def split(path: str) -> tuple[str, str]:
    """Return root and path of `in/notes.txt`; the path is empty for a root alone.  Raises `Invalid`."""
    root, _, rest = path.strip("/").partition("/")
    return checked_root(root), checked_path(rest) if rest else ""


def folder_of(owner: str, job_id: str) -> str:
    """Return the key of a job's folder.  Raises `Invalid` for what is no owner, or no job."""
    return f"{_owner(owner)}/{_id(job_id)}"


def folder_of_owner(owner: str) -> str:
    """Return the key below which the folders of an owner's jobs are."""
    return _owner(owner)


def uploads_of(owner: str, batch: str = "") -> str:
    """Return the key of an owner's batch of uploads, or of all.  Raises `Invalid`."""
    return f"{UPLOADS}/{_owner(owner)}" + (f"/{_id(batch)}" if batch else "")


def upload_key(owner: str, batch: str, upload_id: str) -> str:
    """Return the key of what belongs to an upload.  Raises `Invalid`."""
    return f"{uploads_of(owner, batch)}/{_id(upload_id)}"


def _owner(owner: str) -> str:
    name = owner.removeprefix("users/")
    if not _OWNER.fullmatch(name):
        raise Invalid("files are for who is signed in", {"owner": ["must be a user"]})
    return name


def is_owner(text: str) -> bool:
    """Return whether a text may be the folder of an owner."""
    return _OWNER.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Return whether a text may be the id of a batch, an upload or a job."""
    return _ID.fullmatch(text) is not None


def _id(text: str) -> str:
    if not is_id(text):
        raise Invalid("that is no id of files", {"id": ["must be 24 to 32 hexadecimal digits"]})
    return text


def check_room(path: str, size: int, there: Sequence[Kept], limits: Limits) -> None:
    """Raise `Invalid` if a file of that size may not be at a path, where `there` are those of the job.

    All paths are with their roots.
    """
    check_size(size, limits)
    others = [file for file in there if file.path != path]
    if any(path.startswith(f"{file.path}/") for file in others):
        raise Invalid(f"{path} cannot be: a part of its path is a file", {"path": ["a part of it is a file"]})
    if any(file.path.startswith(f"{path}/") for file in others):
        raise Invalid(f"{path} is a folder", {"path": ["is a folder"]})
    if len(others) >= FILES_MAX:
        raise Invalid(f"a job may have {FILES_MAX} files", {"path": [f"there are {FILES_MAX} files already"]})
    total = sum(file.size for file in others) + size
    if limits.job_max and total > limits.job_max:
        text = f"the files of a job may have {limits.job_max:,} bytes together (AGENTMESH_FILE_BYTES_PER_JOB)"
        raise Invalid(text, {"data": [text]})


def check_size(size: int, limits: Limits) -> None:
    """Raise `Invalid` for more bytes than a file may have."""
    if limits.file_max and size > limits.file_max:
        text = f"a file may have {limits.file_max:,} bytes (AGENTMESH_FILE_BYTES_MAX)"
        raise Invalid(text, {"data": [text]})


def listed(files: Sequence[Kept]) -> str:
    """Return files as JSON: `[{"path", "size", "last_modified"}]`."""
    return json.dumps(
        [{"path": file.path, "size": file.size, "last_modified": file.modified_at} for file in files],
        ensure_ascii=False,
        separators=(",", ":"),
    )
