"""The runner's store in memory: for tests, and for a mesh that shall forget."""

import dataclasses
from collections.abc import Callable, Sequence

from meshkit.errors import AlreadyExists, NotFound
from services.runner.domain import Change, Event, Job, PlacedApp, Request


class MemoryStore:
    """A `JobStore` and `AppStore` in two dictionaries."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._events: dict[str, list[Event]] = {}
        self._requests: dict[tuple[str, str], Request] = {}
        self._apps: dict[str, PlacedApp] = {}

    async def create(self, job: Job, events: Sequence[Event], request: Request | None) -> tuple[Job, list[Event]]:
        """See `JobStore.create`."""
        if job.job_id in self._jobs:
            raise AlreadyExists("job exists", resource=f"jobs/{job.job_id}")
        if request is not None:
            key = (request.owner, request.request_id)
            if key in self._requests:
                raise AlreadyExists("request was made before", resource=request.request_id)
            self._requests[key] = request
        self._jobs[job.job_id] = job
        self._events[job.job_id] = []
        return self._apply(Change(job=job, events=tuple(events)))

    async def request(self, owner: str, request_id: str) -> Request | None:
        """See `JobStore.request`."""
        return self._requests.get((owner, request_id))

    async def update(self, job_id: str, rule: Callable[[Job], Change]) -> tuple[Job, list[Event]]:
        """See `JobStore.update`."""
        return self._apply(rule(self.get(job_id)))

    def get(self, job_id: str) -> Job:
        """See `JobStore.get`."""
        try:
            return self._jobs[job_id]
        except KeyError:
            raise NotFound("job not found", resource=f"jobs/{job_id}") from None

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """See `JobStore.events`."""
        return self._events.get(job_id, [])[after_seq : after_seq + limit]

    async def find(self, owner: str | None, query: str, before: str, limit: int) -> list[Job]:
        """See `JobStore.find`."""
        found = [
            job
            for job_id, job in sorted(self._jobs.items(), reverse=True)
            if (owner is None or job.owner == owner)
            and (not before or job_id < before)
            and query.lower() in searched(job).lower()
        ]
        return found[:limit]

    def open_jobs(self) -> list[Job]:
        """See `JobStore.open_jobs`."""
        return [job for _, job in sorted(self._jobs.items()) if not job.ended]

    async def delete(self, job_id: str) -> None:
        """See `JobStore.delete`."""
        self.get(job_id)
        del self._jobs[job_id], self._events[job_id]

    async def save_app(self, app: PlacedApp) -> None:
        """See `AppStore.save_app`."""
        self._apps[app.expose] = app

    async def delete_app(self, expose: str) -> None:
        """See `AppStore.delete_app`."""
        self._apps.pop(expose, None)

    def apps(self) -> list[PlacedApp]:
        """See `AppStore.apps`."""
        return [app for _, app in sorted(self._apps.items())]

    def _apply(self, change: Change) -> tuple[Job, list[Event]]:
        first = self._jobs[change.job.job_id].last_seq + 1
        numbered = [dataclasses.replace(event, seq=first + index) for index, event in enumerate(change.events)]
        job = dataclasses.replace(change.job, last_seq=first - 1 + len(numbered))
        self._jobs[job.job_id] = job
        self._events[job.job_id].extend(numbered)
        return job, numbered


def searched(job: Job) -> str:
    """Return the text of a job that a query is looked for in."""
    return " ".join((job.job_id, job.flow, job.state, job.inputs_json, job.result_json, job.error, job.meta_json))
