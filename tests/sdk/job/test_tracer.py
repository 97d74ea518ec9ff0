"""Tracers, in the job's process and in those it starts."""

import concurrent.futures
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import pytest

from agentmesh import KodosumiError, Markdown, Tracer, TracerMock
from agentmesh._job import relay


class Log:
    """Keeps events and where they arrived."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def __call__(self, kind: str, payload: str) -> None:
        """Keep one."""
        self.events.append((kind, payload))


EXPECTED = [
    ("debug", "one\ntwo"),
    ("result", '{"int":1}'),
    ("result", '{"dict":{"a":null}}'),
    ("action", '{"Markdown":{"body":"x"}}'),
    ("result", '{"Markdown":{"body":"# a\\n\\nb"}}'),
    ("result", '{"HTML":{"body":"<p>\\n</p>"}}'),
    ("result", '{"Text":{"body":"a\\nb"}}'),
    ("stderr", "careful"),
]


async def test_async_methods_send_events() -> None:
    """Paragraphs of Markdown are apart by a blank line, lines of the others by a break."""
    log = Log()
    tracer = Tracer("f1", log, panel_url="http://mesh", jwt="token")

    await tracer.debug("one", "two")
    await tracer.result(1, {"a": None})
    await tracer.action(Markdown("x"))
    await tracer.markdown("# a", "b")
    await tracer.html("<p>", "</p>")
    await tracer.text("a", "b")
    await tracer.warning("careful")

    assert EXPECTED == log.events
    assert ("f1", "http://mesh", "token") == (tracer.fid, tracer.panel_url, tracer.jwt)


def test_sync_methods_are_twins() -> None:
    """The same events without `await`."""
    log = Log()
    send_all(Tracer("f1", log))

    assert EXPECTED == log.events


def send_all(tracer: Tracer) -> int:
    """Send one of each; return the process it was sent from."""
    tracer.debug_sync("one", "two")
    tracer.result_sync(1, {"a": None})
    tracer.action_sync(Markdown("x"))
    tracer.markdown_sync("# a", "b")
    tracer.html_sync("<p>", "</p>")
    tracer.text_sync("a", "b")
    tracer.warning_sync("careful")
    return os.getpid()


def test_a_warning_can_tell_the_exception() -> None:
    """With its traceback, without paths of this machine."""
    log = Log()
    try:
        raise ValueError("broken")
    except ValueError:
        Tracer("f1", log).warning_sync("careful", exc_info=True)

    ((kind, payload),) = log.events
    assert "stderr" == kind
    assert payload.startswith("careful\nTraceback")
    assert payload.endswith("ValueError: broken")
    assert os.path.dirname(__file__) not in payload


def test_half_a_surrogate_pair_does_not_stop_a_flow() -> None:
    """It cannot be sent as it is: events are UTF-8."""
    log = Log()

    Tracer("f1", log).debug_sync("a\ud800b")

    assert [("debug", "a?b")] == log.events


async def test_files_are_where_a_mesh_runs_the_job() -> None:
    """A tracer that cannot ask says so, in a way that the user of the flow sees."""
    tracer = Tracer("f1", Log())

    with pytest.raises(KodosumiError, match="a job has files where a mesh runs it"):
        await (await tracer.fs()).ls()
    with pytest.raises(KodosumiError, match="a job has files where a mesh runs it"):
        tracer.fs_sync().ls()


async def test_a_lock_belongs_into_the_jobs_own_process() -> None:
    """A tracer that cannot ask says where to ask; in an async flow `lock_sync` says what to await."""
    tracer = Tracer("f1", Log())

    with pytest.raises(KodosumiError, match="lock 'approve': locks are opened in the job's own process"):
        await tracer.lock("approve", data={"a": 1}, timeout=3)
    with pytest.raises(KodosumiError, match=r"use `await tracer\.lock"):
        tracer.lock_sync("approve")


async def test_the_mock_does_nothing() -> None:
    """For an author's own tests: locks are answered with nothing."""
    mock = TracerMock()
    send_all(mock)

    assert "mock" == mock.fid
    assert {} == await mock.lock("any")
    assert {} == mock.lock_sync("any")
    assert await mock.fs() is None
    assert mock.fs_sync() is None
    assert "other" == pickle.loads(pickle.dumps(TracerMock("other"))).fid


def test_copies_are_the_same_tracer() -> None:
    """Libraries copy what they are given: it must not go round by the socket then."""
    tracer = Tracer("f1", Log())

    assert tracer is copy.copy(tracer)
    assert tracer is copy.deepcopy({"tracer": tracer})["tracer"]


def test_a_pickled_tracer_sends_from_another_process() -> None:
    """Each event has arrived when the call returns, in order."""
    log = Log()
    tracer = Tracer("f1", log, panel_url="http://mesh", jwt="token")

    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        pid = pool.submit(send_all, tracer).result(timeout=90)

    assert os.getpid() != pid
    assert EXPECTED == log.events


def test_a_pickled_tracer_works_in_a_process_of_any_kind() -> None:
    """Bytes are all that is passed, as a Ray worker gets it; and it can be passed on."""
    log = Log()
    pickled = pickle.dumps(Tracer("f1", log))
    code = (
        "import pickle, sys; tracer = pickle.loads(sys.stdin.buffer.read());"
        "tracer.debug_sync('there'); pickle.loads(pickle.dumps(tracer)).debug_sync('and back')"
    )

    subprocess.run([sys.executable, "-c", code], input=pickled, check=True, timeout=90)

    assert [("debug", "there"), ("debug", "and back")] == log.events


def test_a_forked_process_sends_too() -> None:
    """`multiprocessing` does not pickle when it forks: the way back is opened before."""
    code = (
        "import os; from agentmesh import Tracer\n"
        "tracer = Tracer('f1', lambda kind, payload: print(os.getpid() == parent, kind, payload, flush=True))\n"
        "parent = os.getpid()\n"
        "if os.fork() == 0:\n"
        "    tracer.debug_sync('from the fork')\n"
        "    os._exit(0)\n"
        "os.wait()"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=90)

    assert "True debug from the fork" == done.stdout.strip()


def test_many_threads_share_a_remote_tracer() -> None:
    """Answers are not mixed up: every event arrives once."""
    log = Log()
    remote = pickle.loads(pickle.dumps(Tracer("f1", log)))

    threads = [threading.Thread(target=lambda n=n: remote.debug_sync(str(n))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)

    assert sorted(str(n) for n in range(20)) == sorted(payload for _, payload in log.events)


def test_a_refused_event_is_told_to_its_sender() -> None:
    """Such as one that is too large; the connection goes on."""
    log = Log()

    def emit(kind: str, payload: str) -> None:
        if len(payload) > 10:
            raise ValueError("too large")
        log(kind, payload)

    remote = pickle.loads(pickle.dumps(Tracer("f1", emit)))
    with pytest.raises(KodosumiError, match="did not take the event: too large"):
        remote.debug_sync("x" * 11)
    remote.debug_sync("short")

    assert [("debug", "short")] == log.events


def test_a_tracer_of_a_job_that_has_ended_says_so() -> None:
    """An error with a reason, not silence and not a hang."""
    code = (
        "import pickle, sys; from agentmesh import Tracer;"
        "sys.stdout.buffer.write(pickle.dumps(Tracer('f1', lambda kind, payload: None)))"
    )
    pickled = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=90).stdout

    with pytest.raises(KodosumiError, match="has it ended"):
        pickle.loads(pickled).debug_sync("anybody?")


def test_the_key_is_needed() -> None:
    """Another program of this machine cannot write into a job's log."""
    log = Log()
    ticket = relay.Local(log).ticket()

    with pytest.raises(KodosumiError):
        relay.Remote(relay.Ticket(ticket.address, b"guess"))("debug", "forged")

    assert [] == log.events
    assert "guess" not in repr(relay.Ticket("x", b"guess"))
