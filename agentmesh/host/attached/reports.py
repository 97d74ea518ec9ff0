"""What one job has to say to the runner: gathered, numbered, and kept until it is acknowledged.

Events gather while the stream to the runner is busy, so a job that talks fast makes few large reports and one that
talks slowly makes a report of each event at once; no timer is involved.

A host may hold many thousands of jobs that say nothing for hours: one such has two empty lists here.
"""

from agentmesh_protos.runner.v1 import host_pb2, job_pb2

_EVENTS_MAX = 2000
_BYTES_MAX = 1024 * 1024
# Field 4 of Report, length-delimited: messages in protobuf are joined by joining their bytes.
_EVENT_TAG = b"\x22"

Mark = host_pb2.Outcome | host_pb2.OpenLock | host_pb2.StepResult


class Reports:
    """The reports of one lease."""

    __slots__ = ("_epoch", "_gathered", "_job", "_next", "_unacked", "held_bytes")

    def __init__(self, job: str, epoch: int) -> None:
        self._job = job
        self._epoch = epoch
        self._next = 1
        self._gathered: list[bytes | Mark] = []
        self._unacked: list[tuple[int, host_pb2.Report, int]] = []
        self.held_bytes = 0
        """How much is not acknowledged yet."""

    def add_event(self, event: bytes) -> None:
        """Gather an encoded `Event`."""
        self._gathered.append(event)
        self.held_bytes += len(event)

    def add(self, mark: Mark) -> None:
        """Gather an outcome, a lock or a step; it ends a report."""
        self._gathered.append(mark)
        self.held_bytes += mark.ByteSize()

    @property
    def only_begun(self) -> bool:
        """Whether nothing is gathered but that the job runs, which what comes next will say as well."""
        return len(self._gathered) == 1 and _is_running(self._gathered[0])

    @property
    def urgent(self) -> bool:
        """Whether what is gathered should not wait for more: the job's first words, a lock, a step, its end."""
        return self._next == 1 or (bool(self._gathered) and not isinstance(self._gathered[-1], bytes))

    def take(self) -> host_pb2.Report | None:
        """Return the next report to send, or `None` if nothing is gathered.

        Raises `DecodeError` if what was gathered as an event is none.
        """
        gathered = self._gathered
        if not gathered:
            return None
        if len(gathered) > 1 and _is_running(gathered[0]):  # the first report says it, whatever is in it
            self.held_bytes -= gathered.pop(0).ByteSize()  # type: ignore[union-attr]
        parts: list[bytes] = []
        size = count = 0
        mark: Mark | None = None
        for item in gathered[:_EVENTS_MAX]:
            if size >= _BYTES_MAX:
                break
            count += 1
            if not isinstance(item, bytes):
                mark = item
                size += item.ByteSize()
                break
            parts.append(item)
            size += len(item)
        report = self._report(parts, mark)
        del gathered[:count]
        self._next += count
        self._unacked.append((self._next - 1, report, size))
        return report

    def _report(self, parts: list[bytes], mark: Mark | None) -> host_pb2.Report:
        head = host_pb2.Report(job=self._job, epoch=self._epoch, source_seq=self._next)
        if isinstance(mark, host_pb2.Outcome):
            head.outcome.CopyFrom(mark)
        elif isinstance(mark, host_pb2.StepResult):
            head.step.CopyFrom(mark)
        elif mark is not None:
            head.lock.CopyFrom(mark)
        if not parts:
            return head
        fields = [piece for part in parts for piece in (_EVENT_TAG, _varint(len(part)), part)]
        # One parse for all, instead of one for each event and a copy of it.
        return host_pb2.Report.FromString(b"".join((head.SerializeToString(), *fields)))

    def unacked(self) -> list[host_pb2.Report]:
        """Return what must be sent again after a reconnect, in order."""
        return [report for _, report, _ in self._unacked]

    def acknowledge(self, source_seq: int) -> int:
        """Forget reports up to `source_seq`; return how many of them had a step."""
        steps = 0
        while self._unacked and self._unacked[0][0] <= source_seq:
            _, report, size = self._unacked.pop(0)
            self.held_bytes -= size
            steps += report.HasField("step")
        return steps

    def forget_gathered(self) -> None:
        """Forget what was not taken."""
        for item in self._gathered:
            self.held_bytes -= len(item) if isinstance(item, bytes) else item.ByteSize()
        self._gathered.clear()

    def clear(self) -> None:
        """Forget everything: nobody wants to hear it."""
        self._gathered.clear()
        self._unacked.clear()
        self.held_bytes = 0

    @property
    def empty(self) -> bool:
        """Whether everything that was gathered has been acknowledged."""
        return not self._gathered and not self._unacked


def _is_running(item: bytes | Mark) -> bool:
    return isinstance(item, host_pb2.Outcome) and item.state == job_pb2.JOB_STATE_RUNNING


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
