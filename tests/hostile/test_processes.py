"""What misbehaves in a process of its own: it ends, in words, and its neighbours do not notice."""

import json
import pathlib
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import job_pb2

from tests.hostile.neighbourhood import CANCELLED, FAILED, SUCCEEDED, Neighbourhood

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOST, ERROR, NONE = (
    job_pb2.JOB_REASON_WORKER_LOST,
    job_pb2.JOB_REASON_ERROR,
    job_pb2.JOB_REASON_UNSPECIFIED,
)


def contents(folder: pathlib.Path) -> dict[str, str]:
    """Return the texts of a folder's files."""
    return {path.name: path.read_text() for path in folder.iterdir()}


def result(text: str) -> Any:
    """Return what a flow returned."""
    return json.loads(text)


@pytest.mark.parametrize(
    ("flow", "inputs", "words"),
    [
        ("raise_huge", {}, "ValueError: xxx"),
        ("raise_strange", {}, "Strange: lone ?, null \x00"),
        ("raise_group", {}, "ExceptionGroup: yyy"),
        ("return_huge", {}, "a result of 4194300 characters takes 16777170 bytes: keep it under 4 MiB"),
        ("lock_huge", {}, "keep it under 4 MiB"),
        ("lock_titled", {}, "keep it under 4 MiB"),
        ("lock_for_ever", {}, "timeout must be a positive number of seconds"),
        *(("say_huge", {"how": how}, f"a {how} event of 20000000 characters") for how in ("debug",)),
        *(
            ("say_huge", {"how": how}, "keep it under 4 MiB")
            for how in ("result", "action", "markdown", "html", "text")
        ),
        ("say_huge", {"how": "warning"}, "a stderr event of 20000000 characters"),
        ("say_huge", {"how": "kind"}, "an event's kind has 1 to 64 characters, got 20000000"),
        ("say_huge", {"how": "usage"}, "usage: input_tokens must be a whole number"),
        ("leave", {"how": "sys.exit"}, "SystemExit: 3"),
        ("leave", {"how": "KeyboardInterrupt"}, "KeyboardInterrupt"),
        ("leave", {"how": "GeneratorExit"}, "GeneratorExit"),
        ("leave", {"how": "CancelledError"}, "the flow cancelled itself"),
        ("leave", {"how": "StopIteration"}, "StopIteration"),
        ("recurse", {}, "RecursionError"),
        ("hog", {}, "MemoryError"),
        ("warn", {}, "ResourceWarning: no"),
        ("stream", {}, "stream returned an async generator, not a result"),
        ("misuse_loop", {"how": "run"}, "asyncio.run() cannot be called from a running event loop"),
        ("misuse_loop", {"how": "run_until_complete"}, "This event loop is already running"),
        ("misuse_loop", {"how": "stop"}, "Event loop stopped before Future completed"),
        ("misuse_loop", {"how": "close"}, "Cannot close a running event loop"),
        ("misuse_loop", {"how": "cancel all"}, "the flow cancelled itself"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    neighbourhood: Neighbourhood, flow: str, inputs: dict[str, Any], words: str
) -> None:
    """The job fails at once."""
    _, outcome = await neighbourhood.run(flow, **inputs)

    assert (FAILED, ERROR) == (outcome.state, outcome.reason)
    assert words in outcome.error
    assert outcome.ByteSize() < 200_000
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize(
    ("flow", "inputs", "words"),
    [
        ("leave", {"how": "os._exit"}, "the job's process exited with status 3"),
        ("leave", {"how": "abort"}, "was killed by SIGABRT"),
        ("leave", {"how": "SIGSEGV"}, "was killed by SIGSEGV (segmentation fault)"),
        ("leave", {"how": "group"}, "was killed by SIGKILL"),
        ("recurse_natively", {}, "was killed by SIGSEGV"),
        ("patch_builtins", {"names": ["len", "isinstance"]}, "the job's process exited with status 1"),
        ("close_all_descriptors", {}, "the job's process"),  # ends, or is ended
        ("close_all_and_stay", {}, "was killed by SIGKILL"),
    ],
)
async def test_a_process_that_is_gone_is_lost_in_words(
    neighbourhood: Neighbourhood, flow: str, inputs: dict[str, Any], words: str
) -> None:
    """And it alone."""
    _, outcome = await neighbourhood.run(flow, **inputs)

    assert (FAILED, LOST) == (outcome.state, outcome.reason)
    assert words in outcome.error
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize(
    ("flow", "inputs", "events"),
    [
        ("run_program", {}, ["from a program"]),
        ("threads", {}, None),
        ("fork", {}, ["from the child"] * 5),
        ("close_descriptors", {}, ["before", "printed", "after 0"]),
        ("turn_descriptors", {}, ["printed"]),
        ("close_streams", {}, ["printed", "after"]),
        ("log_badly", {}, None),
        ("move", {}, []),
        ("patch_builtins", {"names": ["print", "open", "sorted"]}, ["patched"]),
        ("starve", {}, ["printed", "in a thread"]),
        ("collect", {}, None),
        ("say_strange", {}, None),
        ("return_deep", {}, []),
        ("return_strange", {}, []),
        ("misuse_loop", {"how": "forget"}, None),
        ("misuse_loop", {"how": "cancel others"}, []),
        ("misuse_loop", {"how": "leave tasks"}, None),
        ("run_own_loop", {}, ["on a loop of its own"]),
    ],
)
async def test_what_a_process_may_do_to_itself(
    neighbourhood: Neighbourhood,
    flow: str,
    inputs: dict[str, Any],
    events: list[str] | None,
) -> None:
    """The job runs to its end, and what it said is there."""
    job, outcome = await neighbourhood.run(flow, file=str(neighbourhood.common_folder() / "file"), **inputs)

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    if events is not None:
        assert events == neighbourhood.host.events(job)
    await neighbourhood.assert_unharmed()


async def test_a_fork_that_comes_back_ends(neighbourhood: Neighbourhood) -> None:
    """What it raised is there to be read, and is no end of the job."""
    job, outcome = await neighbourhood.run("fork_in_a_thread")

    assert (SUCCEEDED, {"str": "the parent's"}) == (outcome.state, result(outcome.result_json))
    assert ["from the child"] == neighbourhood.host.events(job, "stdout")
    assert "ValueError: the child's" == neighbourhood.host.events(job, "stderr")[-1]
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
async def test_pools_work(neighbourhood: Neighbourhood, context: str) -> None:
    """Of each kind, and what their processes print is there."""
    job, outcome = await neighbourhood.run("pool", context=context)

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    assert sorted([f"doubles {n}" for n in range(5)] * 2) == sorted(neighbourhood.host.events(job, "stdout"))
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize("flow", ["spin", "stubborn"])
async def test_what_does_not_stop_is_ended(neighbourhood: Neighbourhood, flow: str) -> None:
    """After its grace."""
    job = neighbourhood.start(flow)
    await neighbourhood.host.until(lambda: neighbourhood.host.events(job))
    await neighbourhood.assert_unharmed()
    neighbourhood.host.cancel(job, grace_s=0.2)

    assert CANCELLED == (await neighbourhood.host.end(job)).state
    await neighbourhood.assert_unharmed()


async def test_a_text_of_progress_is_cut(neighbourhood: Neighbourhood) -> None:
    """It is for a glance."""
    job, outcome = await neighbourhood.run("say_huge", how="progress")

    assert SUCCEEDED == outcome.state
    assert 1000 == len(json.loads(neighbourhood.host.events(job, "progress")[0])["text"])


async def test_what_json_does_not_know_is_the_nearest_thing(neighbourhood: Neighbourhood) -> None:
    """Always valid, always UTF-8."""
    _, outcome = await neighbourhood.run("return_strange")

    found = result(outcome.result_json)["dict"]
    assert ("NaN", "-Infinity", "?\x00", "…") == tuple(found[key] for key in ("nan", "inf", "lone", "itself"))
    assert found["huge"].startswith("0x")


async def test_output_arrives_as_written(neighbourhood: Neighbourhood) -> None:
    """A question is seen while it is asked."""
    host = neighbourhood.host
    job = neighbourhood.start("write")
    await host.until(lambda: "Name?" in host.events(job, "stdout"))
    await neighbourhood.answer(job)
    outcome = await host.end(job)

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    lines = host.events(job, "stdout")
    assert ["Name?", "Ann", "ready", "one", "two", "Grüße", "b'bytes' lone ?"] == lines[:7]
    assert 100_000 == sum(len(line) for line in lines[7:9])
    assert ["False utf-8 1 True", "\\udfff", "the end"] == lines[9:]
    assert {"10%", "30%"} & {json.loads(said)["text"] for said in host.events(job, "progress")}


async def test_output_of_programs_arrives_as_written(neighbourhood: Neighbourhood) -> None:
    """A part of a line too, after a moment."""
    host = neighbourhood.host
    job = neighbourhood.start("write_from_programs")
    await host.until(lambda: host.events(job, "stdout"))
    await neighbourhood.answer(job)
    outcome = await host.end(job)

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    assert ["half", "ü line", "no end"] == host.events(job, "stdout")


async def test_a_job_ends_as_a_program_does(neighbourhood: Neighbourhood) -> None:
    """Files are written and exit handlers have run when its end is reported; the app's own have not."""
    folder = neighbourhood.common_folder()
    job, outcome = await neighbourhood.run("leave_open", folder=str(folder))

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    assert {"open": "flushed", "atexit": "ran", "finalized": "ran"} == contents(folder)
    said = "\n".join(neighbourhood.host.events(job))
    assert ("ValueError: in a callback" in said, "an exit handler of the app" in said) == (True, False)
    await neighbourhood.assert_unharmed()


async def test_an_exit_handler_that_does_not_end_is_left(neighbourhood: Neighbourhood) -> None:
    """The job ends as it ended, and its author is told."""
    job, outcome = await neighbourhood.run("never_exit")

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    assert "exit handlers and open files took longer than 5 s" in neighbourhood.host.events(job, "stderr")[-1]


async def test_jobs_that_say_much_survive_a_lost_runner(neighbourhood: Neighbourhood) -> None:
    """What was not acknowledged is sent again; nothing is missing, nothing is there twice."""
    host = neighbourhood.host
    host.acknowledging = False
    jobs = [neighbourhood.start("say_much", shared=number == 3) for number in range(4)]
    for job in jobs:
        await host.until(lambda job=job: host.events(job))  # type: ignore[misc]
    host.acknowledging = True
    await host.hang_up()
    neighbourhood.hellos = len(host.hellos)

    for job in jobs:
        outcome = await host.end(job)
        assert (SUCCEEDED, "") == (outcome.state, outcome.error)
        assert [str(number) for number in range(60)] == [said.split()[0] for said in host.events(job, "debug")]
    await neighbourhood.assert_unharmed()
