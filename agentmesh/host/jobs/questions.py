"""The locks that a job has open: questions go to the host, its answers come in.

In a process of its own, a job listens for answers in a thread; a worker that jobs share hands them over from its loop.
"""

import concurrent.futures
import contextlib
import functools
import json
import reprlib
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh._job import progress
from agentmesh._job.progress import Later
from agentmesh._job.redaction import NOTHING_SECRET, Redactor
from agentmesh.errors import KodosumiError
from agentmesh.host.talk import limits
from agentmesh.locks import LockExpired, Question

_PARK_AGAIN_S = 0.5


class Questions:
    """Open locks of one job.

    `send` takes an encoded `OpenLock` to the host; `listen` sees to it that `end` is called.
    `asked` are the questions of attempts before this one, in order: who asks the same again (title and data) gets what
    was answered then, or waits on the lock that is open; whatever else was asked, nobody will ask any more.  Questions
    leave without what `redactor` knows, and so they are compared.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        listen: Callable[[], None] = lambda: None,
        asked: Iterable[host_pb2.AskedLock] = (),
        redactor: Redactor = NOTHING_SECRET,
        later: Later = progress.in_a_daemon,
    ) -> None:
        """`later` calls something after some seconds."""
        self._later = later
        self._send = send
        self._redactor = redactor
        self._listen = listen
        self._asked = list(asked)
        self._open: dict[str, tuple[str, concurrent.futures.Future[Any]]] = {}
        self._lock = threading.Lock()

    def ask(self, question: Question) -> "concurrent.futures.Future[Any]":
        """Send a question; the future has its answer, or raises `LockExpired`.

        Raises `ValueError` for a form that is too large to be sent.
        """
        elements_json = json.dumps(question.elements, ensure_ascii=False, separators=(",", ":"))
        data_json = json.dumps(question.data, ensure_ascii=False, separators=(",", ":"))
        limits.check(f"{question.title}{elements_json}{data_json}", f"the form of lock {reprlib.repr(question.title)}")
        title, elements_json, data_json = (
            self._redactor.text(limits.encodable(text)) for text in (question.title, elements_json, data_json)
        )
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            before = self._take_asked(title, data_json)
            if before is not None and (before.expired or before.result_json):
                _settle(future, question.title, before.result_json, expired=before.expired)
                return future
            lock_id = str(uuid.uuid4()) if before is None else before.lock_id
            self._open[lock_id] = (question.title, future)
        self._listen()
        opening = host_pb2.OpenLock(
            lock_id=lock_id,
            title=title,
            elements_json=elements_json,
            data_json=data_json,
            timeout_s=question.timeout_s,
            again=before is not None,
        )
        self._send(opening.SerializeToString())
        if question.park_s is not None:
            self._later(question.park_s, functools.partial(self._park, lock_id, question))
        return future

    def _park(self, lock_id: str, question: Question) -> None:
        """Say that the job need not be kept for its answer, unless it has it or does something else."""
        with self._lock:
            if lock_id not in self._open:
                return
        if not question.may_park():
            self._later(_PARK_AGAIN_S, functools.partial(self._park, lock_id, question))
            return
        with contextlib.suppress(KodosumiError, OSError):  # it has ended meanwhile
            self._send(host_pb2.OpenLock(lock_id=lock_id, again=True, park=True).SerializeToString())

    def _take_asked(self, title: str, data_json: str) -> host_pb2.AskedLock | None:
        for index, asked in enumerate(self._asked):
            if (asked.title, asked.data_json) == (title, data_json):
                return self._asked.pop(index)
        return None

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
            if future is None:  # it has not asked again yet
                for asked in self._asked:
                    if asked.lock_id == end.lock_id:
                        asked.result_json, asked.expired = end.result_json, end.expired
        if future is not None and future.set_running_or_notify_cancel():  # else the flow waits no more
            _settle(future, title, end.result_json, expired=end.expired)


def _settle(future: "concurrent.futures.Future[Any]", title: str, result_json: str, *, expired: bool) -> None:
    if expired:
        future.set_exception(LockExpired(f"nobody answered lock {title!r} in time"))
    else:
        future.set_result(json.loads(result_json))
