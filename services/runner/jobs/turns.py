"""How many jobs of one target run at once: those beyond its limit wait their turn, oldest first."""

import collections

from services.runner.domain import HELD, Job


class Turns:
    """The jobs that run, and those that wait, of every target that has a limit."""

    def __init__(self) -> None:
        self._running: dict[str, set[str]] = {}
        self._waiting: dict[str, collections.OrderedDict[str, Job]] = {}

    def take(self, job: Job) -> bool:
        """Return whether a job may be handed out now: its place is then taken until `free`."""
        if not job.concurrency_limit:
            return True
        running = self._running.setdefault(job.target, set())
        if job.job_id in running:
            return True
        if job.state not in HELD and len(running) >= job.concurrency_limit:
            return False
        running.add(job.job_id)
        return True

    def wait(self, job: Job) -> None:
        """Let a job wait until a place is free."""
        self._waiting.setdefault(job.target, collections.OrderedDict())[job.job_id] = job

    def free(self, job: Job) -> None:
        """Know that a job does not run, and does not wait any more."""
        if not job.concurrency_limit:
            return
        running = self._running.get(job.target, set())
        running.discard(job.job_id)
        waiting = self._waiting.get(job.target)
        if waiting is not None:
            waiting.pop(job.job_id, None)
            if not waiting:
                del self._waiting[job.target]
        if not running:
            self._running.pop(job.target, None)

    def ready(self) -> list[Job]:
        """Return the waiting jobs that have a place now, each with its place taken."""
        found = []
        for target, waiting in list(self._waiting.items()):
            while waiting and self.take(next(iter(waiting.values()))):
                found.append(waiting.popitem(last=False)[1])
            if not waiting:
                del self._waiting[target]
        return found
