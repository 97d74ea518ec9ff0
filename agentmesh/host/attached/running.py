"""One running job, as its host reports it; how it runs is another matter (`Way`)."""

from collections.abc import Callable
from typing import Protocol

from agentmesh_protos.runner.v1 import host_pb2, job_pb2
from google.protobuf.message import DecodeError

from agentmesh.host.attached.reports import Reports
from agentmesh.host.jobs import carrying
from agentmesh.host.talk.frames import Kind


class Way(Protocol):
    """How a job runs: in a process of its own, or as a task in a worker."""

    @property
    def held_bytes_max(self) -> int:
        """How much of it may be unacknowledged: beyond, it is not listened to and waits with its next event."""

    def end_lock(self, end: host_pb2.LockEnd) -> None:
        """Tell the job what became of a lock; one it does not wait for it ignores."""

    def keep(self, count: int) -> None:
        """Tell the job that so many more of its steps are on disk."""

    def file_result(self, result: host_pb2.FileResult) -> None:
        """Tell the job what came of what it wanted of its files."""

    def pause(self) -> None:
        """Halt the job, at once or at its next step."""

    def resume(self) -> None:
        """Let it go on."""

    def cancel(self, grace_s: float) -> None:
        """Ask the job to end, and see to it after `grace_s`.  `RunningJob.gone` is called once nothing of it runs."""

    def kill(self) -> None:
        """End the job, whatever becomes of what it does."""

    def hold(self) -> None:
        """Listen to the job no more for now: it waits with what it has to say."""

    def go_on(self) -> None:
        """Listen again."""


class RunningJob:
    """Turns what a job says into reports; `ready` is called when there is something to take from them.

    `ask_file` is called with what it wants of its files, and says whether it may.
    """

    __slots__ = ("_ask_file", "_held", "_paused", "_ready", "cancelling", "epoch", "job", "reported", "reports", "way")

    def __init__(
        self,
        run: host_pb2.Run,
        ready: Callable[["RunningJob"], None],
        ask_file: "Callable[[RunningJob, host_pb2.FileCall], bool]",
    ) -> None:
        self._ask_file = ask_file
        self.job = run.job
        """`jobs/{id}`."""
        self.epoch = run.epoch
        self.reports = Reports(run.job, run.epoch)
        self.way: Way
        self.cancelling = False
        """Whether it has been told to stop."""
        self.reported = False
        """Whether the outcome is among the reports; nothing comes behind it."""
        self._ready = ready
        self._held = False
        self._paused = False

    # -- what the job says ---------------------------------------------------------------------------------------

    def take(self, kind: int, payload: bytes) -> None:
        """Take a frame of the job's: RUNNING, EVENT, LOCK, STEP or FILE_CALL."""
        if self.reported:
            return
        match kind:
            case Kind.RUNNING:
                self.reports.add(host_pb2.Outcome(state=job_pb2.JOB_STATE_RUNNING))
            case Kind.EVENT:
                self.reports.add_event(payload)
            case Kind.LOCK:
                try:
                    self.reports.add(host_pb2.OpenLock.FromString(payload))
                except DecodeError:
                    self.break_off("opened a lock that is none")
            case Kind.STEP:
                try:
                    self.reports.add(host_pb2.StepResult.FromString(payload))
                except DecodeError:
                    self.break_off("finished a step that is none")
            case Kind.FILE_CALL:
                try:
                    call = host_pb2.FileCall.FromString(payload)
                except DecodeError:
                    self.break_off("wants something of its files that is nothing")
                    return
                if not self._ask_file(self, call):
                    self.break_off("wants too much of its files at once")
            case _:
                self.break_off(f"sent a frame of kind {kind}")

    def tell(self) -> None:
        """Have what was taken reported; hold a job that says more than the runner takes."""
        self._ready(self)
        if not self._held and not self.reported and self.reports.held_bytes > self.way.held_bytes_max:
            self._held = True
            self.way.hold()

    def say(self, kind: str, line: str) -> None:
        """Add an event of the host's own."""
        if not self.reported:
            self.reports.add_event(carrying.event(kind, line))

    # -- how it ends ---------------------------------------------------------------------------------------------

    def end(self, outcome: host_pb2.Outcome) -> None:
        """Take the outcome: the last thing that is said of the job."""
        if self.reported:
            return
        if self.cancelling:
            outcome = host_pb2.Outcome(state=job_pb2.JOB_STATE_CANCELLED)
        elif outcome.state == job_pb2.JOB_STATE_CANCELLED:  # the flow cancelled itself
            outcome = host_pb2.Outcome(
                state=job_pb2.JOB_STATE_FAILED,
                reason=job_pb2.JOB_REASON_ERROR,
                error="CancelledError: the flow cancelled itself",
            )
        self.reports.add(outcome)
        self.reported = True
        self._ready(self)

    def gone(self, why: str) -> None:
        """Nothing of the job runs any more, and it has not said how it ended."""
        self.end(carrying.lost(why))

    def break_off(self, what: str) -> None:
        """The job does not keep to the protocol: it is ended."""
        self.end(carrying.lost(f"the job's process {what}: it was ended"))
        self.way.kill()

    # -- what the runner says ------------------------------------------------------------------------------------

    def cancel(self, grace_s: float) -> None:
        """Stop the job.  The outcome is CANCELLED once it has gone."""
        if not self.cancelling and not self.reported:
            self.cancelling = True
            self.way.cancel(grace_s)
            self.resume()

    def pause(self) -> None:
        """Halt the job; nothing happens to one that is halted, is to stop or has ended."""
        if not (self._paused or self.cancelling or self.reported):
            self._paused = True
            self.way.pause()

    def resume(self) -> None:
        """Let the job go on that was halted."""
        if self._paused:
            self._paused = False
            self.way.resume()

    def end_lock(self, end: host_pb2.LockEnd) -> None:
        """Hand over what became of a lock."""
        if not self.reported:
            self.way.end_lock(end)

    def file_result(self, result: host_pb2.FileResult) -> None:
        """Hand over what came of what the job wanted of its files."""
        if not self.reported:
            self.way.file_result(result)

    def drop(self) -> None:
        """End the job and report nothing: the lease is lost."""
        self.reported = True
        self.reports.clear()
        self.way.kill()

    def acknowledge(self, source_seq: int) -> None:
        """Hear that reports up to `source_seq` are on disk; listen again if that made room."""
        kept = self.reports.acknowledge(source_seq)
        if kept and not self.reported:
            self.way.keep(kept)
        if self._held and self.reports.held_bytes <= self.way.held_bytes_max // 2:
            self._held = False
            self.way.go_on()

    @property
    def done(self) -> bool:
        """Whether everything, the outcome included, has been acknowledged."""
        return self.reported and self.reports.empty
