"""GUIDs for everything: the mesh's own UUIDs as they are, and jobs' ids of 24 hex digits inside a UUID of version 8.

The same job has the same GUID everywhere and for ever, as nothing is looked up; GUIDs of jobs sort as the jobs do.
"""

import re
import uuid

from meshkit.errors import NotFound

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OF_JOB = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{3})-8000-000([0-9a-f]{9})")


def guid(text: str) -> str:
    """Return a GUID in lower case.  Raises `ValueError` if it is none."""
    lower = text.lower()
    if not _GUID.fullmatch(lower):
        raise ValueError("must be a GUID, such as c5053b8e-c75a-48e4-ab88-24a0305be63f")
    return lower


def is_guid(text: str) -> bool:
    """Return whether it is a GUID in lower case."""
    return _GUID.fullmatch(text) is not None


def of_job(name: str) -> str:
    """Return the GUID of `jobs/{24 hex digits}`."""
    digits = name.removeprefix("jobs/")
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-8000-000{digits[15:]}"


def job(guid: str) -> str:
    """Return the `jobs/{id}` of a GUID.  Raises `NotFound` for what is no job's."""
    found = _OF_JOB.fullmatch(guid)
    if found is None:
        raise NotFound(f"execution {guid} not found")
    return f"jobs/{''.join(found.groups())}"


def of_message(conversation: str, index: int) -> str:
    """Return the GUID of a message, the same whenever it is asked for."""
    return str(uuid.uuid5(uuid.UUID(conversation), f"messages/{index}"))
