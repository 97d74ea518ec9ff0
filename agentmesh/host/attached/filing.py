"""What jobs want of their files, on its way to the runner and back: few calls of a host are under way at a time."""

import collections
from collections.abc import Callable

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh.host.attached.running import RunningJob
from agentmesh.host.jobs.filing import OF_JOB_MAX

_OF_HOST_MAX = 8
"""Each may have a MiB with it."""


class FileCalls:
    """The calls of all jobs of a host that the runner has not answered."""

    def __init__(self, post: Callable[[host_pb2.HostMessage], None]) -> None:
        """`post` says something to the runner; what it has said on a stream that broke, nobody has heard."""
        self._post = post
        self._calls: dict[_Key, host_pb2.FileCall] = {}
        """In the order in which they came."""
        self._under_way: dict[_Key, None] = {}
        self._jobs: collections.Counter[str] = collections.Counter()

    def ask(self, job: RunningJob, call: host_pb2.FileCall) -> bool:
        """Ask for a job; return False if it asks for more at once than it may."""
        if self._jobs[job.job] >= OF_JOB_MAX:
            return False
        call.job, call.epoch = job.job, job.epoch
        self._calls[_key(call)] = call
        self._jobs[job.job] += 1
        self._go_on()
        return True

    def take(self, result: host_pb2.FileResult) -> bool:
        """Know that a call is answered, and ask the next; return False if it was none, or answered before."""
        return self._drop(_key(result))

    def again(self) -> list[host_pb2.HostMessage]:
        """Return what is under way, for a new stream."""
        return [host_pb2.HostMessage(file_call=self._calls[key]) for key in self._under_way]

    def forget(self, job: str) -> None:
        """Know that a job wants nothing any more."""
        for key in [key for key in self._calls if key[0] == job]:
            self._drop(key)

    def _drop(self, key: "_Key") -> bool:
        if self._calls.pop(key, None) is None:
            return False
        self._under_way.pop(key, None)
        self._jobs[key[0]] -= 1
        if not self._jobs[key[0]]:
            del self._jobs[key[0]]
        self._go_on()
        return True

    def _go_on(self) -> None:
        for key, call in self._calls.items():
            if len(self._under_way) >= _OF_HOST_MAX:
                return
            if key not in self._under_way:
                self._under_way[key] = None
                self._post(host_pb2.HostMessage(file_call=call))


_Key = tuple[str, int, int]
"""Job, epoch and number of a call."""


def _key(about: host_pb2.FileCall | host_pb2.FileResult) -> _Key:
    return about.job, about.epoch, about.call_id
