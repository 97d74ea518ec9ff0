"""What jobs want of their files, on its way to the runner and back.

A job has few calls under way at a time, and so has a host: what a job reads or writes waits in the job.
"""

import collections
import concurrent.futures
import itertools
import threading
from collections.abc import Callable

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh.host.running import RunningJob

_OF_JOB_MAX = 4
_OF_HOST_MAX = 8
"""Each may have a MiB with it."""


class Filing:
    """The calls of one job, in its own process or in the worker that it shares."""

    def __init__(self, send: Callable[[bytes], None], listen: Callable[[], None] = lambda: None) -> None:
        """`send` takes an encoded `FileCall` to the host; `listen` sees to it that `end` is called."""
        self._send = send
        self._listen = listen
        self._numbers = itertools.count(1)
        self._waiting: collections.deque[bytes] = collections.deque()
        self._asked: dict[int, concurrent.futures.Future[bytes]] = {}
        self._lock = threading.Lock()
        self._is_abandoned = False

    def ask(self, call: bytes) -> "concurrent.futures.Future[bytes]":
        """Send a call; the future has what came of it, encoded."""
        self._listen()
        future: concurrent.futures.Future[bytes] = concurrent.futures.Future()
        with self._lock:
            if self._is_abandoned:
                future.cancel()
                return future
            number = next(self._numbers)
            # Fields behind those of the call: protobuf takes the last of each.
            data = call + host_pb2.FileCall(call_id=number).SerializeToString()
            is_next = len(self._asked) < _OF_JOB_MAX
            self._asked[number] = future
            if not is_next:
                self._waiting.append(data)
        if is_next:
            self._send(data)
        return future

    def end(self, result: bytes) -> None:
        """Hand over what came of a call, and send the next."""
        number = host_pb2.FileResult.FromString(result).call_id
        with self._lock:
            future = self._asked.pop(number, None)
            following = self._waiting.popleft() if self._waiting else None
        if following is not None:
            self._send(following)
        if future is not None and future.set_running_or_notify_cancel():  # else the flow waits no more
            future.set_result(result)

    def abandon(self) -> None:
        """Let nobody wait any more: the job is to stop, and a thread that waits would not hear of it."""
        with self._lock:
            self._is_abandoned = True
            waiting = list(self._asked.values())
            self._waiting.clear()
        for future in waiting:
            future.cancel()


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
        if self._jobs[job.job] >= _OF_JOB_MAX:
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
