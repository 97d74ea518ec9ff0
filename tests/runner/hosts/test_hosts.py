"""What a host may: report on jobs whose lease it holds, answer what it was asked, and attach with a badge of minutes.

The runner is a real one; the test is its nursery and its hosts.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, host_pb2, job_pb2

from meshkit import clock, identity
from services.runner.hosts.hostbadges import HostBadges
from tests.runner.playing import Host, Stages, Stream, staged
from tests.runner.stack import DEADLINE_S

SECRET = b"s" * 32
DONE = host_pb2.Outcome(state=job_pb2.JOB_STATE_SUCCEEDED, result_json='{"str":"done"}')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stages]:
    """Run a runner."""
    async with staged(tmp_path_factory.mktemp("hosts")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(stages: Stages) -> tuple[Host, Stream]:
    """A host that does as it should."""
    return await stages.place()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forger(stages: Stages) -> tuple[Host, Stream]:
    """A host of another app."""
    return await stages.place()


def event(kind: str, payload: str = "{}") -> job_pb2.Event:
    """Return an event as a host says it."""
    return job_pb2.Event(kind=kind, payload=payload, time=1.0)


FORGED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "events": {"events": [event("debug", "forged"), event("result", "forged")]},
    "usage": {"events": [event("usage", '{"input_tokens": 5}')]},
    "progress": {"events": [event("progress", '{"percent": 50}')]},
    "step": {"events": [event("step", '{"name": "a", "result": "forged"}')]},
    "memory": {"events": [event("memory", '{"text": "forged"}')]},
    "message": {"events": [event("message", "forged")]},
    "lock": {"lock": host_pb2.OpenLock(lock_id="l", title="forged", elements_json="[]", data_json="{}")},
    "lock again": {"lock": host_pb2.OpenLock(lock_id="l", title="forged", again=True)},
    "running": {"outcome": host_pb2.Outcome(state=job_pb2.JOB_STATE_RUNNING)},
    "result": {"outcome": DONE},
    "failure": {"outcome": host_pb2.Outcome(state=job_pb2.JOB_STATE_FAILED, error="forged")},
    "cancelled": {"outcome": host_pb2.Outcome(state=job_pb2.JOB_STATE_CANCELLED)},
    "lost": {"outcome": host_pb2.Outcome(state=job_pb2.JOB_STATE_FAILED, reason=job_pb2.JOB_REASON_WORKER_LOST)},
    "a gap": {"source_seq": 99, "events": [event("debug", "forged")]},
}


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_report_of_another_host_is_refused(
    stages: Stages, ours: tuple[Host, Stream], forger: tuple[Host, Stream], forged: str
) -> None:
    """Of every kind, with the right epoch, before the job has begun and while it runs."""
    job, run = await stages.run(*ours)
    _, stream = ours
    assert not await forger[1].report(run, **FORGED[forged])
    assert await stream.report(run, events=[event("debug", "said")])
    assert not await forger[1].report(run, **{"source_seq": 2, **FORGED[forged]})
    assert await stream.report(run, 2, outcome=DONE)

    events = await stages.mesh.events(job)
    assert ["status", "inputs", "meta", "status", "debug", "final", "status"] == [each.kind for each in events]
    assert not [each for each in events if "forged" in each.payload]
    found = await stages.mesh.get(job)
    assert (job_pb2.JOB_STATE_SUCCEEDED, 0) == (found.state, found.usage.input_tokens)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_host_prepares_is_told_until_it_has_loaded_its_app(stages: Stages) -> None:
    """In so many characters."""
    seen: list[str] = []

    async def prepare(host: Host, stream: Stream) -> None:
        request = app_pb2.WatchAppsRequest()
        watch = stages.mesh.apps.WatchApps(request, metadata=stages.mesh.operator, timeout=DEADLINE_S)
        await stream.say(preparing=host_pb2.Preparing(message="x" * 1000))
        while not seen:
            told = await watch.read()
            seen.extend(app.activity for app in told.apps if app.name == f"apps/{host.spec.expose}" and app.activity)
        watch.cancel()

    host, stream = await stages.place(prepare)
    await stream.say(preparing=host_pb2.Preparing(message="more"))
    _, run = await stages.run(host, stream)
    assert await stream.report(run, outcome=DONE)
    listed = await stages.mesh.apps.ListApps(app_pb2.ListAppsRequest(), metadata=stages.mesh.operator)

    assert ["x" * 200] == seen
    assert {""} == {app.activity for app in listed.apps}


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_report_of_another_lease_is_refused(stages: Stages, ours: tuple[Host, Stream], epoch: int) -> None:
    """Though it is of the right host."""
    job, run = await stages.run(*ours)
    other = host_pb2.Run(job=run.job, epoch=epoch)
    assert not await ours[1].report(other, outcome=DONE)
    assert await ours[1].report(run, outcome=DONE)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await stages.mesh.get(job)).state


@pytest.mark.asyncio(loop_scope="module")
async def test_an_answer_of_another_host_is_none(
    stages: Stages, ours: tuple[Host, Stream], forger: tuple[Host, Stream]
) -> None:
    """Questions are known by their number, which is easy to guess; each host answers those that it was asked."""
    request = app_pb2.CallAppRequest(name=f"apps/{ours[0].spec.expose}", method="GET", path="/x")
    mesh = stages.mesh
    called = asyncio.create_task(_call(mesh.apps.CallApp(request, metadata=mesh.operator, timeout=DEADLINE_S)))
    call = await ours[1].hear("call")
    number = call.call_id
    for forged in (
        {"call_result": host_pb2.CallResult(call_id=number, status=200, body=b"forged")},
        {"ask_result": host_pb2.AskResult(ask_id=number, detail="forged")},
        {"lock_check": host_pb2.LockCheck(check_id=number, result_json='"forged"')},
        {"call_part": host_pb2.CallPart(call_id=number, part=app_pb2.AppPart(data=b"forged"))},
    ):
        await forger[1].say(**forged)
    _, run = await stages.run(*forger)
    assert await forger[1].report(run, outcome=DONE)  # what was said before has been heard
    await ours[1].say(call_result=host_pb2.CallResult(call_id=number, status=200, body=b"true"))

    assert b"true" == (await called).body


async def _call(call: Any) -> app_pb2.CallAppResponse:
    answer: app_pb2.CallAppResponse = await call
    return answer


@pytest.mark.asyncio(loop_scope="module")
async def test_what_waits_for_a_host_is_asked_as_soon_as_it_is_back(stages: Stages) -> None:
    """Not when the patience with apps is over: here that is long."""
    host, stream = await stages.place()
    await stream.finish()
    mesh, name = stages.mesh, f"apps/{host.spec.expose}"
    request = app_pb2.CallAppRequest(name=name, method="GET", path="/x")
    called = asyncio.create_task(_call(mesh.apps.CallApp(request, metadata=mesh.operator, timeout=DEADLINE_S)))
    for _ in range(3):  # one connection carries all: what came before is being waited for
        await mesh.apps.ListApps(app_pb2.ListAppsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)
    back = await host.attach()
    call = await back.hear("call")
    await back.say(call_result=host_pb2.CallResult(call_id=call.call_id, status=200, body=b"true"))

    assert b"true" == (await called).body


@pytest.mark.asyncio(loop_scope="module")
async def test_a_lease_that_a_host_only_says_it_has_is_none(
    stages: Stages, ours: tuple[Host, Stream], forger: tuple[Host, Stream]
) -> None:
    """It is told nothing of the job, and the job's own host goes on."""
    job, run = await stages.run(*ours)
    claimed = await forger[0].attach(leases=[host_pb2.Lease(job=run.job, epoch=run.epoch)])
    assert not await claimed.report(run, outcome=DONE)
    again = await ours[0].attach(leases=[host_pb2.Lease(job=run.job, epoch=run.epoch)])
    assert await again.report(run, outcome=DONE)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await stages.mesh.get(job)).state


@pytest.mark.asyncio(loop_scope="module")
async def test_a_lease_of_before_is_given_anew(stages: Stages) -> None:
    """To a host that comes back with an epoch that is over: it never heard of the new one."""
    host, stream = await stages.place()
    _, run = await stages.run(host, stream)
    second = await host.attach()
    newer = await second.hear("run", lambda said: said.job == run.job)
    third = await host.attach(leases=[host_pb2.Lease(job=run.job, epoch=run.epoch)])
    newest = await third.hear("run", lambda said: said.job == run.job)

    assert [1, 2, 3] == [each.epoch for each in (run, newer, newest)]
    assert await third.report(newest, outcome=DONE)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_newer_stream_ends_the_one_before(stages: Stages) -> None:
    """What is said on the old one is not taken, and it gets no work."""
    host, old = await stages.place()
    job, run = await stages.run(host, old)
    new = await host.attach(leases=[host_pb2.Lease(job=run.job, epoch=run.epoch)])
    await new.hear("welcome")

    assert grpc.StatusCode.UNAVAILABLE == await old.end()
    _, other = await stages.run(host, new)
    assert await new.report(other, outcome=DONE)
    assert await new.report(run, outcome=DONE)
    assert job_pb2.JOB_STATE_SUCCEEDED == (await stages.mesh.get(job)).state


@pytest.mark.asyncio(loop_scope="module")
async def test_who_has_no_badge_of_its_own_is_not_let_in(stages: Stages, ours: tuple[Host, Stream]) -> None:
    """None, one that has expired, one that somebody else signed, that of another host, and that of a service."""
    host, _ = ours
    secret = (await asyncio.to_thread(stages.secret.read_bytes)).strip()
    subject = f"host:{host.spec.host_id}"
    for badge, code in (
        ("", grpc.StatusCode.PERMISSION_DENIED),
        (identity.sign(secret, subject, "runner", ttl_s=-1), grpc.StatusCode.UNAUTHENTICATED),
        (identity.sign(secret, subject, "auth"), grpc.StatusCode.UNAUTHENTICATED),
        (identity.sign(SECRET, subject, "runner"), grpc.StatusCode.UNAUTHENTICATED),
        (identity.sign(secret, "host:app1-00000000", "runner"), grpc.StatusCode.PERMISSION_DENIED),
        (identity.sign(secret, "service:registry", "runner"), grpc.StatusCode.PERMISSION_DENIED),
    ):
        assert code == await (await host.attach(badge=badge)).end()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_badge_is_renewed_on_the_stream(stages: Stages) -> None:
    """The new one lets the host in; each is of minutes, and of this host."""
    host, stream = await stages.place()
    renewed = (await stream.hear("renewal")).badge
    again = await host.attach(badge=renewed)
    await again.hear("welcome")
    secret = (await asyncio.to_thread(stages.secret.read_bytes)).strip()

    for badge in (host.badge, renewed):
        found = identity.verify(secret, badge, "runner")
        assert host.spec.host_id == found.caller.host
        assert 0 < found.expires_at - clock.now() <= 600


def test_a_badge_is_renewed_long_before_its_end() -> None:
    """At once on each stream, then whenever a third of its life is over; also if the clock was set, or has slept."""
    moments = iter((1000.0, 1000.0, 1001.0, 1199.0, 1200.0, 1200.0, 1201.0, 9000.0, 9000.0, 9001.0, 8000.0, 8000.0))
    renew = HostBadges(SECRET, 600.0, lambda: next(moments)).renewals("h1")
    due = [renew() is not None for _ in range(8)]  # one that is due is signed: it looks at the clock twice

    assert [True, False, False, True, False, True, False, True] == due
