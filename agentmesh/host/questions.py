"""The locks that a job's process has open: questions go out on its channel, a thread takes the answers in.

The thread exists from the first question on; a job without locks has none.
"""

import concurrent.futures
import json
import threading
import uuid
from typing import Any

from mesh.runner.v1 import host_pb2

from agentmesh.host.frames import Channel, Kind
from agentmesh.locks import LockExpired, Question


class Questions:
    """Open locks of one job."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._open: dict[str, tuple[str, concurrent.futures.Future[Any]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self, question: Question) -> "concurrent.futures.Future[Any]":
        """Send a question; the future has its answer, or raises `LockExpired`."""
        lock_id = str(uuid.uuid4())
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            self._open[lock_id] = (question.title, future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="lock-answers", daemon=True)
                self._thread.start()
        opening = host_pb2.OpenLock(
            lock_id=lock_id,
            title=question.title,
            elements_json=json.dumps(question.elements, ensure_ascii=False, separators=(",", ":")),
            data_json=json.dumps(question.data, ensure_ascii=False, separators=(",", ":")),
            timeout_s=question.timeout_s,
        )
        self._channel.send(Kind.LOCK, opening.SerializeToString())
        return future

    def _listen(self) -> None:
        while (frame := self._channel.receive()) is not None:
            if frame[0] == Kind.LOCK_END:
                self._end(host_pb2.LockEnd.FromString(frame[1]))

    def _end(self, end: host_pb2.LockEnd) -> None:
        with self._lock:
            title, future = self._open.pop(end.lock_id, ("", None))
        if future is None or not future.set_running_or_notify_cancel():
            return  # said again after a reconnect, or the flow waits no more
        if end.expired:
            future.set_exception(LockExpired(f"nobody answered lock {title!r} in time"))
        else:
            future.set_result(json.loads(end.result_json))
