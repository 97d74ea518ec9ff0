"""The Python client, against a real mesh."""

import asyncio
import contextlib
import pathlib
import stat

import pytest

from agentmesh.client import AsyncClient, Client, InvalidInputs, MeshError, NotFound, NotSignedIn, Unreachable
from agentmesh.testing import Mesh
from tests.ending import wait_procs
from tests.families import running


def test_a_job_runs_from_inputs_to_result(cli_mesh: Mesh) -> None:
    """The log starts at 1, has no gaps, and ends with the terminal status."""
    job = cli_mesh.client.create_job("greeter", {"name": "Ada"})
    events = list(cli_mesh.client.watch(job.name))
    job = cli_mesh.client.wait(job.name, timeout_s=60)

    assert job.succeeded
    assert job.ended
    assert "Hello, **Ada**!" == job.text
    assert {"Markdown": {"body": "Hello, **Ada**!"}} == job.result
    assert list(range(1, job.last_seq + 1)) == [event.seq for event in events]
    assert events[-1].last
    assert [event.seq for event in cli_mesh.client.events(job.name, after_seq=3)] == [e.seq for e in events[3:]]


def test_a_watch_goes_on_behind_what_was_seen(cli_mesh: Mesh) -> None:
    """`after_seq` resumes; behind the last event there is nothing, and the watch ends."""
    job = cli_mesh.client.run("greeter", {"name": "Ada"})

    assert 4 == next(iter(cli_mesh.client.watch(job.name, after_seq=3))).seq
    assert [] == list(cli_mesh.client.watch(job.name, after_seq=job.last_seq))


def test_a_download_that_fails_leaves_what_was_there(cli_mesh: Mesh, tmp_path: pathlib.Path) -> None:
    """A file is replaced when all of the new one has come; its mode stays, and a link stays one."""
    job = cli_mesh.client.run("greeter", {"name": "Ada"})
    report, link = tmp_path / "report.txt", tmp_path / "link.txt"
    report.write_text("before")
    report.chmod(0o600)
    link.symlink_to(report)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "report.txt").write_text("after")
    cli_mesh.client.files.upload(job.name, tmp_path / "new" / "report.txt")

    with pytest.raises(NotFound):
        cli_mesh.client.files.download(job.name, "out/none.txt", report)
    assert "before" == report.read_text()
    cli_mesh.client.files.download(job.name, "in/report.txt", link)

    assert "after" == report.read_text()
    assert 0o600 == stat.S_IMODE(report.stat().st_mode)
    assert link.is_symlink()
    assert ["link.txt", "new", "report.txt"] == sorted(path.name for path in tmp_path.iterdir())


async def test_a_watch_survives_a_killed_runner(cli_mesh: Mesh) -> None:
    """The stream breaks and is resumed: every event once, to the end of the job."""
    runner = running(cli_mesh.process.pid, "services.runner")
    async with AsyncClient(cli_mesh.url) as client:
        await client.login("admin", "admin")
        job = await client.create_job("greeter/slow", {"name": "Ada"})
        seen = []
        async with asyncio.timeout(60), contextlib.aclosing(client.watch(job.name)) as events:
            async for event in events:
                seen.append(event.seq)
                if event.kind == "debug" and runner.is_running():
                    runner.kill()
                    await asyncio.to_thread(wait_procs, [runner], 60)
                    canceller = asyncio.create_task(_cancel_when_back(client, job.name))
        await canceller

        assert list(range(1, len(seen) + 1)) == seen
        assert (await client.job(job.name)).ended


def test_a_job_is_halted_goes_on_and_ends_at_its_deadline(cli_mesh: Mesh) -> None:
    """Each is answered with the job."""
    job = cli_mesh.client.create_job("greeter/slow", {"name": "Ada"}, retries=2, deadline_s=300)
    next(event for event in cli_mesh.client.watch(job.name) if event.kind == "debug")

    with pytest.raises(TimeoutError, match=f"{job.name} has not ended after 0 s: it runs on"):
        cli_mesh.client.wait(job.name, timeout_s=0)
    states = [cli_mesh.client.pause(job.name).state, cli_mesh.client.resume(job.name).state]
    cli_mesh.client.cancel(job.name)
    late = cli_mesh.client.create_job("greeter/slow", {"name": "Ada"}, deadline_s=0.1)
    ended = cli_mesh.client.wait(late.name, timeout_s=60)

    assert ["paused", "running"] == states
    assert ("failed", "the job took longer than it may: its deadline is over") == (ended.state, ended.error)


async def _cancel_when_back(client: AsyncClient, name: str) -> None:
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(MeshError):
                await client.cancel(name)
                return


def test_the_same_request_id_is_the_same_job(cli_mesh: Mesh) -> None:
    """A retry starts nothing twice."""
    first = cli_mesh.client.create_job("greeter", {"name": "Ada"}, request_id="once")

    assert first.name == cli_mesh.client.create_job("greeter", {"name": "Ada"}, request_id="once").name


def test_what_is_wrong_is_raised_by_kind(cli_mesh: Mesh) -> None:
    """Refused inputs say which field; what is not there is `NotFound`."""
    with pytest.raises(InvalidInputs) as refused:
        cli_mesh.client.create_job("greeter", {})
    with pytest.raises(NotFound):
        cli_mesh.client.flow("nothing")
    with pytest.raises(NotFound):
        list(cli_mesh.client.watch("6b020a287f75b47a226ecaff"))
    with pytest.raises(InvalidInputs, match="JSON values"):
        cli_mesh.client.create_job("greeter", {"name": object()})

    assert {"name": ["Please say who you are."]} == refused.value.fields


def test_without_a_sign_in_it_says_so(cli_mesh: Mesh) -> None:
    """Neither is a wrong password one."""
    with Client(cli_mesh.url) as client:
        with pytest.raises(NotSignedIn):
            list(client.flows())
        with pytest.raises(NotSignedIn):
            client.login("admin", "wrong")


def test_nobody_there_is_told_from_a_refusal() -> None:
    """`Unreachable` names the address."""
    with Client("http://127.0.0.1:1") as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        client.login("admin", "admin")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://host:port", "http://host/path"])
def test_an_address_that_is_none_is_a_value_error(url: str) -> None:
    """The message has the form it should have."""
    with pytest.raises(ValueError, match="http://HOST:PORT"):
        Client(url)


async def test_many_tasks_may_share_a_client(cli_mesh: Mesh) -> None:
    """One connection carries them all."""
    async with AsyncClient(cli_mesh.url) as client:
        await client.login("admin", "admin")
        jobs = await asyncio.gather(*(client.run("greeter", {"name": str(number)}) for number in range(8)))

    assert [f"Hello, **{number}**!" for number in range(8)] == [job.text for job in jobs]


def test_jobs_are_listed_newest_first(cli_mesh: Mesh) -> None:
    """A query narrows the list."""
    older = cli_mesh.client.run("greeter", {"name": "first"})
    newer = cli_mesh.client.run("greeter", {"name": "second"})
    names = [job.name for job in cli_mesh.client.jobs()]

    assert names.index(newer.name) < names.index(older.name)
    assert [newer.name] == [job.name for job in cli_mesh.client.jobs(newer.id)]
