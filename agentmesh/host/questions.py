"""The locks that a job has open: questions go to the host, its answers come in.

In a process of its own, a job listens for answers in a thread that exists from the first question on; a worker that
jobs share hands them over from its loop.
"""

import concurrent.futures
import json
import reprlib
import threading
import uuid
from collections.abc import Callable
from typing import Any

from mesh.runner.v1 import host_pb2

from agentmesh.host import limits
from agentmesh.locks import LockExpired, Question


class Questions:
    """Open locks of one job.

    `send` takes an encoded `OpenLock` to the host.  `listen`, if given, runs in a thread from the first question on.
    """

    def __init__(self, send: Callable[[bytes], None], listen: Callable[[], None] | None = None) -> None:
        self._send = send
        self._listen = listen
        self._open: dict[str, tuple[str, concurrent.futures.Future[Any]]] = {}
        self._lock = threading.Lock()

    def ask(self, question: Question) -> "concurrent.futures.Future[Any]":
        """Send a question; the future has its answer, or raises `LockExpired`.

        Raises `ValueError` for a form that is too large to be sent.
        """
        elements_json = json.dumps(question.elements, ensure_ascii=False, separators=(",", ":"))
        data_json = json.dumps(question.data, ensure_ascii=False, separators=(",", ":"))
        limits.check(f"{question.title}{elements_json}{data_json}", f"the form of lock {reprlib.repr(question.title)}")
        lock_id = str(uuid.uuid4())
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            self._open[lock_id] = (question.title, future)
            listen, self._listen = self._listen, None
        if listen is not None:
            threading.Thread(target=listen, name="lock-answers", daemon=True).start()
        opening = host_pb2.OpenLock(
            lock_id=lock_id,
            title=limits.encodable(question.title),
            elements_json=limits.encodable(elements_json),
            data_json=limits.encodable(data_json),
            timeout_s=question.timeout_s,
        )
        self._send(opening.SerializeToString())
        return future

    def abandon(self) -> None:
        """Let nobody wait any more: the job is to stop, and a thread that waits would not hear of it."""
        with self._lock:
            waiting = [future for _, future in self._open.values()]
            self._open.clear()
        for future in waiting:
            future.cancel()

    def end(self, end: host_pb2.LockEnd) -> None:
        """Hand over what became of a lock."""
        with self._lock:
            title, future = self._open.pop(end.lock_id, ("", None))
        if future is None or not future.set_running_or_notify_cancel():
            return  # said again after a reconnect, or the flow waits no more
        if end.expired:
            future.set_exception(LockExpired(f"nobody answered lock {title!r} in time"))
        else:
            future.set_result(json.loads(end.result_json))
