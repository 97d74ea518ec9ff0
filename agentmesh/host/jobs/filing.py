"""What a job wants of its files, on its way to its host and back.

A job has few calls under way at a time: what it reads or writes waits in the job.
"""

import collections
import concurrent.futures
import itertools
import threading
from collections.abc import Callable

from agentmesh_protos.runner.v1 import host_pb2

OF_JOB_MAX = 4
"""Calls; each may have a MiB with it."""


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
            is_next = len(self._asked) < OF_JOB_MAX
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
