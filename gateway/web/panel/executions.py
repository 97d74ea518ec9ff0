"""Executions: the list, one of them with its tabs, and what can be done with it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlencode

from agentmesh_protos.runner.v1 import job_pb2
from starlette.responses import Response

from gateway.core import forms, jobs, states
from gateway.core.locks import Locks, Refused, elements_of, id_of
from gateway.core.peers import Peers
from gateway.core.prices import Prices
from gateway.web.panel import downloads, shell, shown
from gateway.web.panel.addresses import naming
from gateway.web.panel.files import PanelFiles
from gateway.web.panel.flows import fields_of, problems, run_url
from gateway.web.panel.live import PAUSE_S, Follower, Live, changes
from gateway.web.panel.tabs import TABS, Tabs
from gateway.web.panel.visitor import Visitor
from meshkit import clock
from meshkit.errors import FailedPrecondition, Invalid, NotFound, Unavailable, from_rpc

_PAGE = 25
_TEXT_BYTES_MAX = 4096
_ASK_S = 10.0
_TARGETS = {"agents": "Agent", "crews": "Crew"}
"""In place of their ids, which say nothing to people."""
_CHOSEN = "job:"
"""Before the id of each execution that is chosen in the list, in the form's names."""
_AT_ONCE = 8
_STOPPING = job_pb2.JOB_STATE_STOPPING
FILTERS = {
    "": ("All", frozenset()),
    "active": (
        "Active",
        frozenset(states.STATES.values())
        - states.TERMINAL
        - {job_pb2.JOB_STATE_AWAITING_INPUT, job_pb2.JOB_STATE_AWAITING_PAYMENT},
    ),
    "waiting": ("Waiting", frozenset({job_pb2.JOB_STATE_AWAITING_INPUT, job_pb2.JOB_STATE_AWAITING_PAYMENT})),
    "succeeded": ("Succeeded", frozenset({states.SUCCEEDED})),
    "failed": ("Failed", frozenset({states.FAILED})),
    "cancelled": ("Cancelled", frozenset({states.CANCELLED})),
}


class Executions:
    """The caller's jobs."""

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs
        self._watches = peers.watches
        self._locks = Locks(peers)
        self._prices = Prices(peers)
        self._renderer = peers.renderer
        self._files = PanelFiles(peers)
        self._tabs = Tabs(peers, self._files)

    # -- the list ------------------------------------------------------------------------------------------------

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/executions?q=&state=&before=."""
        return visitor.page("executions.html", problems=[], **await self._list(visitor))

    async def watch(self, visitor: Visitor) -> Response:
        """GET /panel/live/executions: the list, whenever it changes."""

        async def part() -> str:
            return shell.render("parts/executions.html", **await self._list(visitor))

        return Live(visitor, changes(part))

    async def do_many(self, visitor: Visitor) -> Response:
        """POST /panel/executions: cancel or delete those that were chosen, and say what could not be."""
        fids = [name.removeprefix(_CHOSEN) for name in visitor.form if name.startswith(_CHOSEN)]
        verb = visitor.form.get("do", "")
        if verb not in ("cancel", "delete"):
            raise Invalid("Executions are cancelled or deleted.")
        slots = asyncio.Semaphore(_AT_ONCE)

        async def do(fid: str) -> str:
            async with slots:
                try:
                    await (self._cancel(fid) if verb == "cancel" else self._delete(fid))
                except (FailedPrecondition, NotFound) as error:
                    return f"{fid[-8:]}: {error}"
            return ""

        refused = [text for text in await asyncio.gather(*map(do, fids[:_PAGE])) if text]
        if refused:
            return visitor.page("executions.html", status=409, problems=refused, **await self._list(visitor))
        return shell.see_other(f"/panel/executions?{urlencode(visitor.request.query_params)}")

    async def _list(self, visitor: Visitor) -> dict[str, Any]:
        query, before = visitor.query("q"), visitor.query("before")
        state = visitor.query("state") if visitor.query("state") in FILTERS else ""
        asked = job_pb2.ListJobsRequest(
            page_size=_PAGE,
            query=query,
            before=f"jobs/{before}" if jobs.is_id(before) else "",
            states=sorted(FILTERS[state][1]),  # type: ignore[arg-type]
            text_bytes_max=_TEXT_BYTES_MAX,
        )
        with from_rpc():
            page = await self._jobs.ListJobs(asked, timeout=_ASK_S)
        rows = [listed(job) for job in page.jobs]
        asked_for = {"q": query, "state": state}
        older = urlencode({**asked_for, "before": rows[-1]["fid"]}) if rows and page.next_page_token else ""
        return {
            "rows": rows,
            "query": query,
            "state": state,
            "before": before,
            "older": older,
            "live": urlencode({**asked_for, "before": before}),
            "filters": [(word, title, urlencode({"q": query, "state": word})) for word, (title, _) in FILTERS.items()],
        }

    # -- one -----------------------------------------------------------------------------------------------------

    async def show_one(self, visitor: Visitor, refused: Refused | None = None) -> Response:
        """GET /panel/executions/{fid}[/{tab}]."""
        job, tab = await self._asked(visitor)
        values = await self._values(visitor, job, tab, refused)
        status = 422 if refused else 200
        return visitor.page("execution.html", status=status, csp=shell.WRITTEN_CSP, **values)

    async def watch_one(self, visitor: Visitor) -> Response:
        """GET /panel/live/executions/{fid}/{tab}: what is between head and foot, whenever something has happened."""
        job, tab = await self._asked(visitor)
        return Live(visitor, self._parts(visitor, job, tab))

    async def _parts(self, visitor: Visitor, job: job_pb2.Job, tab: str) -> AsyncGenerator[str, None]:
        """Yield the part at each change, and not more often than a person can see; the last when the job is over."""
        follower = Follower(self._watches.follow(job, job.last_seq), lambda _: None)
        try:
            while True:
                over = follower.over
                follower.caught_up()
                fresh = await self._get(visitor.path("fid"))
                yield shell.render("parts/execution.html", **await self._values(visitor, fresh, tab))
                if fresh.state in states.TERMINAL:
                    return
                if over:  # the page asks again, rather than be told that this was the end
                    raise Unavailable("the log cannot be followed for the moment")
                await asyncio.sleep(PAUSE_S)
                await follower.moved()
        finally:
            await follower.close()

    async def cancel(self, visitor: Visitor) -> Response:
        """POST …/cancel."""
        await self._cancel(visitor.path("fid"))
        return shell.see_other(f"/panel/executions/{visitor.path('fid')}")

    async def delete(self, visitor: Visitor) -> Response:
        """POST …/delete."""
        await self._delete(visitor.path("fid"))
        return shell.see_other("/panel/executions")

    async def download(self, visitor: Visitor) -> Response:
        """GET …/download/{what}: the result, the inputs, or all events as a line of JSON each."""
        job, what = await self._get(visitor.path("fid")), visitor.path("what")
        return downloads.answer(visitor, self._jobs, job, what)

    async def file(self, visitor: Visitor) -> Response:
        """GET …/files/{in or out}/{path}[?show]."""
        return await self._files.give(visitor, await self._get(visitor.path("fid")))

    async def _cancel(self, fid: str) -> None:
        job = await self._get(fid)
        with from_rpc():
            await self._jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name), timeout=_ASK_S)

    async def _delete(self, fid: str) -> None:
        job = await self._get(fid)
        with from_rpc():
            await self._jobs.DeleteJob(job_pb2.DeleteJobRequest(name=job.name), timeout=_ASK_S)

    async def answer(self, visitor: Visitor) -> Response:
        """POST …/locks/{lid}: answer a question, or show it again with what is wrong."""
        fid = visitor.path("fid")
        lock = await self._locks.get(fid, visitor.path("lid"))
        try:
            await self._locks.answer(lock, forms.inputs(elements_of(lock), visitor.form))
        except Refused as error:
            return await self.show_one(visitor, error)
        except FailedPrecondition as error:
            raise FailedPrecondition(f"Somebody was faster, or the question is over. {error}") from None
        return shell.see_other(f"/panel/executions/{fid}?answered=1")

    async def _asked(self, visitor: Visitor) -> tuple[job_pb2.Job, str]:
        tab = visitor.path("tab") or "result"
        if tab not in TABS:
            raise NotFound("An execution has no such tab.")
        return await self._get(visitor.path("fid")), tab

    async def _get(self, fid: str) -> job_pb2.Job:
        with naming("execution"):
            if not jobs.is_id(fid):
                raise NotFound(fid)
            job: job_pb2.Job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=f"jobs/{fid}"), timeout=_ASK_S)
        return job

    async def _values(
        self, visitor: Visitor, job: job_pb2.Job, tab: str, refused: Refused | None = None
    ) -> dict[str, Any]:
        kind, after = visitor.query("kind"), visitor.query("after")
        questions, price, content, detail = await asyncio.gather(
            self._questions(visitor, job, refused),
            self._prices.asked(job),
            self._tabs.content(job, tab, kind=kind, after=after),
            self._tabs.traceback(job) if visitor.operator else _nothing(),
        )
        return {
            **row_of(job),
            "tab": tab,
            "tabs": TABS,
            "questions": questions,
            "price": price,
            "stoppable": job.state not in states.TERMINAL and job.state != _STOPPING,
            "again": _again(job),
            "detail": detail,
            "failure": jobs.failure(job) if job.state == states.FAILED else "",
            "live": urlencode({name: value for name, value in (("kind", kind), ("after", after)) if value}),
            **content,
        }

    async def _questions(self, visitor: Visitor, job: job_pb2.Job, refused: Refused | None) -> list[dict[str, Any]]:
        found = []
        for lock in await self._locks.pending(job):
            mine = refused is not None and id_of(lock) == visitor.path("lid")
            errors = refused.fields if refused is not None and mine else {}
            elements = elements_of(lock)
            fields = await fields_of(self._renderer, elements, visitor.form if mine else None, errors)
            found.append({"lock": lock, "lid": id_of(lock), "fields": fields, "problems": problems(elements, errors)})
        return found


def _again(job: job_pb2.Job) -> str:
    """Return where it is run again: a flow with its inputs, an agent or crew where one asks them."""
    if job.target.startswith(("agents/", "crews/")):
        return f"/panel/{job.target}"
    return f"{run_url(job.flow)}?from={jobs.id_of(job)}" if job.flow else ""


async def _nothing() -> str:
    return ""


def listed(job: job_pb2.Job) -> dict[str, Any]:
    """Return what is shown of a job of a list: also what tells it from others of the same title."""
    return {**row_of(job), "given": shown.first_input(job)}


def row_of(job: job_pb2.Job) -> dict[str, Any]:
    """Return what is shown of a job wherever it is."""
    now = clock.now()
    meta = jobs.json_object(job.meta_json)
    target = (job.target or job.flow).partition("/")[2]
    return {
        "job": job,
        "fid": jobs.id_of(job),
        "title": str(meta.get("summary") or target or "Execution"),
        "target": _TARGETS.get((job.target or job.flow).partition("/")[0]) or target,
        "over": job.state in states.TERMINAL,
        "runtime_s": shown.runtime_s(job, now),
    }
