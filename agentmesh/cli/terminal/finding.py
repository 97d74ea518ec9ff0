"""Which job is meant: an id, a full name, or the beginning of an id that no other job has; and when is meant."""

import contextlib
import datetime
import re

import typer

from agentmesh.client import AsyncClient, Job, NotAllowed, NotFound

_ID = re.compile(r"[0-9a-f]{24}\Z")
_BEGINNING = re.compile(r"[0-9a-f]{4,23}\Z")
_TOO_SHORT = re.compile(r"[0-9a-f]{1,3}\Z")
_LOOKED_AT = 2000
_NAMED = 5
_AGO = re.compile(r"(\d+)\s*([smhdw])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


async def job_name(client: AsyncClient, wanted: str) -> str:
    """Return the full name of a job.  Raises `NotFound` with the remedy for a beginning of no job, or of several."""
    job_id = wanted.strip().strip("/").removeprefix("jobs/").lower()
    if _ID.match(job_id):
        return f"jobs/{job_id}"
    if _TOO_SHORT.match(job_id):
        raise NotFound(f"{job_id} may be many jobs: say four digits of its id or more", code="NOT_FOUND")
    if not _BEGINNING.match(job_id):
        raise NotFound(f"job {job_id} not found; see `agentmesh jobs`", code="NOT_FOUND")
    found = await _beginning_with(client, job_id, all_owners=False)
    if not found:  # an operator may mean somebody else's
        with contextlib.suppress(NotAllowed):
            found = await _beginning_with(client, job_id, all_owners=True)
    if len(found) == 1:
        return found[0].name
    if found:
        names = ", ".join(job.id for job in found[:_NAMED])
        raise NotFound(f"{len(found)} jobs begin with {job_id}, say more of it: {names}", code="NOT_FOUND")
    raise NotFound(f"job {job_id} not found; see `agentmesh jobs`", code="NOT_FOUND")


async def _beginning_with(client: AsyncClient, beginning: str, *, all_owners: bool) -> list[Job]:
    found, seen = [], 0
    async with contextlib.aclosing(client.jobs(beginning, all_owners=all_owners)) as jobs:
        async for job in jobs:
            seen += 1
            if job.id.startswith(beginning):
                found.append(job)
            if seen == _LOOKED_AT:  # the text is in the inputs of many
                break
    return found


def since(text: str) -> datetime.datetime | None:
    """Return the moment of `2h`, `30m`, `7d`, or of a date or time; None for nothing.  Raises `typer.BadParameter`."""
    if not text:
        return None
    if ago := _AGO.match(text.strip()):
        return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--since {text!r}: write how long ago, such as 2h or 7d, or 2026-01-31") from None
