"""What one job has to say to the runner: gathered, numbered, and kept until it is acknowledged.

Events gather while the stream to the runner is busy, so a job that talks fast makes few large reports and one that
talks slowly makes a report of each event at once; no timer is involved.
"""

import collections

from mesh.runner.v1 import host_pb2

_EVENTS_MAX = 2000
_BYTES_MAX = 1024 * 1024
# Field 4 of Report, length-delimited: messages in protobuf are joined by joining their bytes.
_EVENT_TAG = b"\x22"


class Reports:
    """The reports of one lease."""

    def __init__(self, job: str, epoch: int) -> None:
        self._job = job
        self._epoch = epoch
        self._next = 1
        self._gathered: collections.deque[bytes | host_pb2.Outcome | host_pb2.OpenLock] = collections.deque()
        self._unacked: collections.deque[tuple[int, host_pb2.Report, int]] = collections.deque()
        self.held_bytes = 0
        """How much is not acknowledged yet."""

    def add_event(self, event: bytes) -> None:
        """Gather an encoded `Event`."""
        self._gathered.append(event)
        self.held_bytes += len(event)

    def add(self, mark: host_pb2.Outcome | host_pb2.OpenLock) -> None:
        """Gather an outcome or a lock; it ends a report."""
        self._gathered.append(mark)

    def take(self) -> host_pb2.Report | None:
        """Return the next report to send, or `None` if nothing is gathered."""
        if not self._gathered:
            return None
        head = host_pb2.Report(job=self._job, epoch=self._epoch, source_seq=self._next)
        parts: list[bytes] = []
        size = 0
        while self._gathered and len(parts) < _EVENTS_MAX and size < _BYTES_MAX:
            item = self._gathered.popleft()
            self._next += 1
            if isinstance(item, bytes):
                parts.append(item)
                size += len(item)
                continue
            if isinstance(item, host_pb2.Outcome):
                head.outcome.CopyFrom(item)
            else:
                head.lock.CopyFrom(item)
            break
        fields = [piece for part in parts for piece in (_EVENT_TAG, _varint(len(part)), part)]
        # One parse for all, instead of one for each event and a copy of it.
        report = host_pb2.Report.FromString(b"".join((head.SerializeToString(), *fields)))
        self._unacked.append((self._next - 1, report, size))
        return report

    def unacked(self) -> list[host_pb2.Report]:
        """Return what must be sent again after a reconnect, in order."""
        return [report for _, report, _ in self._unacked]

    def acknowledge(self, source_seq: int) -> None:
        """Forget reports up to `source_seq`."""
        while self._unacked and self._unacked[0][0] <= source_seq:
            self.held_bytes -= self._unacked.popleft()[2]

    def clear(self) -> None:
        """Forget everything: nobody wants to hear it."""
        self._gathered.clear()
        self._unacked.clear()
        self.held_bytes = 0

    @property
    def empty(self) -> bool:
        """Whether everything that was gathered has been acknowledged."""
        return not self._gathered and not self._unacked


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
