"""Questions that wait for an answer, the most urgent first, each with the execution that asks it."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Any

import markupsafe
from agentmesh_protos.runner.v1 import job_pb2, lock_pb2
from starlette.responses import Response

from gateway.core import forms
from gateway.core.locks import elements_of
from gateway.core.peers import Peers
from gateway.web.panel import shell, shown
from gateway.web.panel.executions import listed
from gateway.web.panel.live import Live, changes
from gateway.web.panel.visitor import Visitor
from meshkit import clock
from meshkit.errors import NotFound, from_rpc

_LOCKS_MAX = 100
_ASK_S = 5.0
_AT_ONCE = 8
_TEXT_BYTES_MAX = 4096
_QUESTION_CHARS_MAX = 200
_BLOCK = re.compile(r"</(?:h[1-6]|p|li|div|blockquote|pre|tr)>|<(?:br|hr)\b[^>]*>")
Known = dict[str, dict[str, Any]]
"""What does not change while one looks: of locks what they ask, of executions what tells them apart, by name."""


class Inbox:
    """The open questions of the caller's executions."""

    def __init__(self, peers: Peers) -> None:
        self._locks = peers.locks
        self._jobs = peers.jobs
        self._renderer = peers.renderer

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/inbox."""
        return visitor.page("inbox.html", items=await self._items({}))

    async def watch(self, visitor: Visitor) -> Response:
        """GET /panel/live/inbox: the list, whenever it changes."""
        known: Known = {}

        async def part() -> str:
            return shell.render("parts/inbox.html", items=await self._items(known))

        return Live(visitor, changes(part))

    async def _items(self, known: Known) -> list[dict[str, Any]]:
        with from_rpc():
            found = await self._locks.ListLocks(lock_pb2.ListLocksRequest(page_size=_LOCKS_MAX), timeout=_ASK_S)
        await self._learn(known, found.locks)
        now = clock.now()
        items = [_item(lock, known, now) for lock in found.locks]
        return sorted(items, key=lambda item: float(item["left_s"]))

    async def _learn(self, known: Known, locks: Sequence[lock_pb2.Lock]) -> None:
        """Get to know what is new: of executions that wait all at once, of others, which ask and go on, one by one."""
        new = [lock for lock in locks if lock.name not in known]
        names = {_job_of(lock) for lock in new} - known.keys()
        if names:
            request = job_pb2.ListJobsRequest(
                page_size=_LOCKS_MAX, states=[job_pb2.JOB_STATE_AWAITING_INPUT], text_bytes_max=_TEXT_BYTES_MAX
            )
            with from_rpc():
                page = await self._jobs.ListJobs(request, timeout=_ASK_S)
            known |= {job.name: listed(job) for job in page.jobs if job.name in names}
            slots = asyncio.Semaphore(_AT_ONCE)
            await asyncio.gather(*(self._get(known, name, slots) for name in names - known.keys()))
        known |= {lock.name: {"question": await self._question(lock)} for lock in new}

    async def _get(self, known: Known, name: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            with contextlib.suppress(NotFound), from_rpc():  # it was deleted meanwhile, and its locks with it
                known[name] = listed(await self._jobs.GetJob(job_pb2.GetJobRequest(name=name), timeout=_ASK_S))

    async def _question(self, lock: lock_pb2.Lock) -> str:
        """Return what a lock asks in a few words: what its form says first, or its name, which programs gave it."""
        elements = elements_of(lock)
        for way, text in forms.written(elements).values():
            if said := plain(await self._renderer.one(way, text)):
                return said
        labels = (" ".join(str(element.get("label") or "").split()) for element in elements)
        return next((label[:_QUESTION_CHARS_MAX] for label in labels if label), "") or lock.title


def plain(fragment: str) -> str:
    """Return the text of HTML in a few words, its paragraphs one behind the other."""
    parts = (markupsafe.Markup(part).striptags() for part in _BLOCK.split(fragment))
    return shown.short(" · ".join(part for part in parts if part), _QUESTION_CHARS_MAX)


def _job_of(lock: lock_pb2.Lock) -> str:
    return lock.name.rpartition("/locks/")[0]


def _item(lock: lock_pb2.Lock, known: Known, now: float) -> dict[str, Any]:
    _, fid, _, lid = lock.name.split("/")
    left_s = clock.seconds_of(lock.expire_time) - now if lock.HasField("expire_time") else float("inf")
    asks = {"title": "An execution", "target": "", "given": "", **known.get(_job_of(lock), {}), **known[lock.name]}
    return {**asks, "lock": lock, "fid": fid, "lid": lid, "left_s": left_s}
