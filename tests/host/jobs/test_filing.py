"""Calls about files: few at a time, and none is lost with a stream."""

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh.host.attached.filing import FileCalls
from agentmesh.host.attached.running import RunningJob
from agentmesh.host.jobs.filing import Filing


def call(number: int) -> host_pb2.FileCall:
    """Return a call."""
    return host_pb2.FileCall(call_id=number, list=host_pb2.FileList(root="in"))


def answer(number: int, job: str = "jobs/1") -> host_pb2.FileResult:
    """Return what comes of it."""
    return host_pb2.FileResult(job=job, epoch=1, call_id=number, files_json=f"[{number}]")


def test_a_job_has_four_under_way() -> None:
    """The others go out as those are answered, each to who asked."""
    said: list[int] = []
    filing = Filing(lambda data: said.append(host_pb2.FileCall.FromString(data).call_id))

    futures = [filing.ask(call(0).SerializeToString()) for _ in range(6)]
    assert [1, 2, 3, 4] == said
    filing.end(answer(3).SerializeToString())
    filing.end(answer(3).SerializeToString())  # a second time: it is nobody's

    assert "[3]" == host_pb2.FileResult.FromString(futures[2].result(0)).files_json
    assert [1, 2, 3, 4, 5, 6] == sorted(said)
    filing.abandon()
    assert all(future.cancelled() for future in (*futures[:2], *futures[3:]))
    assert filing.ask(call(0).SerializeToString()).cancelled()


def test_a_host_says_again_what_a_stream_has_lost() -> None:
    """Eight of all jobs are under way; a job that asks for too much is told so."""
    posted: list[host_pb2.HostMessage] = []
    calls = FileCalls(posted.append)

    def job(number: int) -> RunningJob:
        run = host_pb2.Run(job=f"jobs/{number}", epoch=1)
        return RunningJob(run, lambda job: None, calls.ask)

    for number in range(1, 4):
        assert all(calls.ask(job(number), call(each)) for each in range(4))
    assert not calls.ask(job(1), call(9))
    assert 8 == len(posted)
    assert posted == calls.again()
    assert {("jobs/1", 1), ("jobs/2", 1)} == {(each.file_call.job, each.file_call.epoch) for each in posted}
    assert calls.take(answer(0))
    assert not calls.take(answer(0))
    assert "jobs/3" == posted[8].file_call.job
    calls.forget("jobs/2")

    assert {"jobs/1", "jobs/3"} == {each.file_call.job for each in calls.again()}
    assert 7 == len(calls.again())
