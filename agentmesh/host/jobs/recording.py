"""The steps of a job on their way into its log, in the order in which they are finished.

The runner acknowledges them in that order, so a count is all that comes back.
"""

import collections
import concurrent.futures
import json
import threading
from collections.abc import Callable

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh._job.redaction import NOTHING_SECRET, REDACTED, Redactor
from agentmesh._job.steps import Finished
from agentmesh.host.talk import limits


class Recording:
    """Steps of one job that are not known to be on disk."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        listen: Callable[[], None] = lambda: None,
        *,
        redactor: Redactor = NOTHING_SECRET,
    ) -> None:
        """`send` takes an encoded `StepResult` to the host; `listen` sees to it that `kept` is called.

        What `redactor` knows is not shown: it reaches other attempts of the job alone.
        """
        self._send = send
        self._listen = listen
        self._redactor = redactor
        self._waiting: collections.deque[concurrent.futures.Future[None]] = collections.deque()
        self._lock = threading.Lock()

    def record(self, finished: Finished) -> "concurrent.futures.Future[None]":
        """Send a step; the future is done once it is on disk.  Raises `ValueError` for one that is too large."""
        limits.check(finished.result_json, f"the result of step {finished.name!r}")
        step = host_pb2.StepResult(
            name=limits.encodable(finished.name),
            result_json=limits.encodable(finished.result_json),
            shown_json=limits.encodable(self._shown(finished.result_json)),
            place=finished.place,
            occurrence=finished.occurrence,
        ).SerializeToString()
        self._listen()
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            self._waiting.append(future)
            self._send(step)
        return future

    def _shown(self, result_json: str) -> str:
        """Return a result without secrets; empty if there are none in it."""
        shown = self._redactor.json(result_json)
        if shown == result_json:
            return ""
        # Both travel in one piece.
        fits = limits.size(result_json) + limits.size(shown) <= limits.PAYLOAD_BYTES_MAX
        return shown if fits else json.dumps(REDACTED)

    def kept(self, count: int) -> None:
        """Hear that so many more are on disk."""
        with self._lock:
            done = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        for future in done:
            if future.set_running_or_notify_cancel():  # else nobody waits any more
                future.set_result(None)

    def abandon(self) -> None:
        """Let nobody wait any more: the job is to stop, and a thread that waits would not hear of it."""
        with self._lock:
            waiting = list(self._waiting)
        for future in waiting:
            future.cancel()
