"""`agentmesh backup` and `agentmesh restore`: the files of jobs."""

import concurrent.futures
import contextlib
import hashlib
import io
import json
import os
import pathlib
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Iterator

import pytest

from agentmesh.backups import archive, folders
from agentmesh.cli import app
from agentmesh.client import Client
from agentmesh.testing import Mesh, running_mesh

WRITER = """
import pydantic
from agentmesh import ServeAPI, Tracer

app = ServeAPI()


class Wanted(pydantic.BaseModel):
    number: int


@app.flow(summary="Write")
async def write(inputs: Wanted, tracer: Tracer) -> int:
    fs = await tracer.fs()
    await fs.write("out/number.txt", f"{inputs.number} " * 1000)
    return inputs.number
"""


@contextlib.contextmanager
def writing(mesh: Mesh) -> Iterator[list[tuple[str, int]]]:
    """For the block, launch jobs that write a file, and delete some; yield those that have ended and stay."""
    ended: list[tuple[str, int]] = []
    some, over = threading.Event(), threading.Event()
    token = mesh.client.login("admin", "admin").access_token

    def launch(first: int) -> None:
        with Client(mesh.url, token=token) as client:
            number = first
            while not over.is_set():
                job = client.run("writer", {"number": number})
                if number % 3:
                    ended.append((job.id, number))
                else:
                    client.delete_job(job.id)
                number += 1
                if len(ended) > 5:
                    some.set()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = [pool.submit(launch, first) for first in (0, 1_000_000)]
        try:
            assert some.wait(120)
            yield ended
        finally:
            over.set()
        for each in running:
            each.result()


def test_a_backup_has_the_files_of_its_jobs(tmp_path: pathlib.Path) -> None:
    """Of a mesh that goes on writing and deleting them: restored, each job has its own, whole."""
    (tmp_path / "writer.py").write_text(WRITER)
    file, data = tmp_path / "mesh.tar", tmp_path / "again"
    with running_mesh(cwd=tmp_path, data_dir=tmp_path / "data") as mesh:
        mesh.deploy("writer", "writer:app")
        with writing(mesh) as ended:
            before = [*ended]
            assert 0 == app.run(["backup", str(file), "--data-dir", str(mesh.data_dir)])
        assert [] == [path.name for path in mesh.data_dir.glob(".agentmesh*")]

    assert 0 == app.run(["restore", str(file), "--data-dir", str(data)])

    with running_mesh(cwd=tmp_path, data_dir=data) as again:
        again.client.login("admin", "admin")
        kept, numbers = [job.id for job in again.client.jobs() if job.succeeded], dict(ended)
        assert {job for job, _ in before} <= {*kept}
        for job in numbers.keys() & {*kept}:  # those that ended while it was taken, too
            assert f"{numbers[job]} ".encode() * 1000 == again.client.files.read(job, "out/number.txt")


JOB = "0" * 26
MADE_AT = 1_700_000_000.25


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """A data directory with a database, and files of a job."""
    folder = tmp_path / "data"
    job = folder / "files" / "u" / JOB
    for name in ("in/ä b.txt", "out/deep/made"):
        path = job / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    os.utime(job / "out" / "deep" / "made", (MADE_AT, MADE_AT))
    (folder / "files" / "under-way").mkdir()
    (folder / "files" / "under-way" / "half").write_text("half")
    (job / "out" / "link").symlink_to("/etc/passwd")
    (folder / "mesh.secret").write_text("s")
    sqlite3.connect(folder / "runner.db").close()
    return folder


def test_files_go_and_come_as_they_were(
    data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With their times, for their owner only; not what is not whole, and no links."""
    file, again = tmp_path / "mesh.tar", tmp_path / "again"
    assert 0 == app.run(["backup", str(file), "--data-dir", str(data)])
    assert 0 == app.run(["restore", str(file), "--data-dir", str(again)])

    shown = capsys.readouterr().out
    assert f"{again}: 4 files" in shown
    assert "not in it" not in shown
    assert [f"u/{JOB}/in/ä b.txt", f"u/{JOB}/out/deep/made"] == list(folders.files(again / "files"))
    made = again / "files" / "u" / JOB / "out" / "deep" / "made"
    assert "out/deep/made" == made.read_text()
    assert MADE_AT == made.stat().st_mtime
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in again.rglob("*") if path.is_file()} - {0o644}
    assert 0o700 == stat.S_IMODE((again / "files").stat().st_mode)


def test_files_may_be_left_out_and_those_elsewhere_are(
    data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said where they are; a restore to a mesh that keeps them elsewhere says that, too."""
    assert 0 == app.run(["backup", str(tmp_path / "less.tar"), "--data-dir", str(data), "--no-files"])
    assert f"files of jobs are not in it: save {data / 'files'}" in capsys.readouterr().out
    assert 0 == app.run(["backup", str(tmp_path / "mesh.tar"), "--data-dir", str(data)])
    monkeypatch.setenv("AGENTMESH_FILES_URL", "memory://elsewhere")
    assert 0 == app.run(["backup", str(tmp_path / "far.tar"), "--data-dir", str(data)])
    assert "save what AGENTMESH_FILES_URL names" in capsys.readouterr().out
    for name in ("less", "far"):
        with tarfile.open(tmp_path / f"{name}.tar") as tar:
            assert not [each for each in tar.getnames() if each.startswith("files")]

    assert 0 == app.run(["restore", str(tmp_path / "mesh.tar"), "--data-dir", str(tmp_path / "again")])
    assert "AGENTMESH_FILES_URL names another place" in capsys.readouterr().out


def test_a_file_that_comes_or_goes_meanwhile_is_there(tmp_path: pathlib.Path) -> None:
    """What is deleted between the two looks is kept; what is replaced is the newer, and so is what is new."""
    source, target = tmp_path / "files", tmp_path / "kept"
    for name in ("stays", "goes", "changes"):
        (source / "u").mkdir(parents=True, exist_ok=True)
        (source / "u" / name).write_text("old")
    folders.take(source, target)
    (source / "u" / "goes").unlink()
    (source / "new").write_text("new")
    (source / "new").replace(source / "u" / "changes")
    (source / "u" / "comes").write_text("new")
    folders.take(source, target)

    found = {path: (target / path).read_text() for path in folders.files(target)}
    assert {"u/changes": "new", "u/comes": "new", "u/goes": "old", "u/stays": "old"} == found


def _tampered(source: pathlib.Path, target: pathlib.Path, extra: tarfile.TarInfo, data: bytes, count: int) -> None:
    """Write a backup with one entry more, and a manifest that says how many there are."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        for entry in old.getmembers():
            content = (old.extractfile(entry) or io.BytesIO()).read()
            if entry.name == "manifest.json":
                said = json.loads(content)
                said["of_jobs"] = [count, said["of_jobs"][1] + len(data)]
                content = json.dumps(said).encode()
                entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
        extra.size = len(data) if extra.isreg() else 0
        extra.pax_headers = {"AGENTMESH.sha256": hashlib.sha256(data).hexdigest(), **extra.pax_headers}
        new.addfile(extra, io.BytesIO(data))


def _entry(name: str, **more: object) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.pax_headers = {}
    for key, value in more.items():
        setattr(entry, key, value)
    return entry


@pytest.mark.parametrize(
    ("entry", "count", "said"),
    [
        (_entry("files/../../out"), 3, "tampered"),
        (_entry("files//etc/out"), 3, "tampered"),
        (_entry("/etc/out"), 3, "tampered"),
        (_entry("files/./a"), 3, "tampered"),
        (_entry("databases/more.db"), 3, "tampered"),
        (_entry("other/a"), 3, "tampered"),
        (_entry("files/a", type=tarfile.SYMTYPE, linkname="/etc"), 3, "tampered"),
        (_entry("files/a", type=tarfile.LNKTYPE, linkname="manifest.json"), 3, "tampered"),
        (_entry("files/a", type=tarfile.FIFOTYPE), 3, "tampered"),
        (_entry("files/a", type=tarfile.DIRTYPE), 3, "tampered"),
        (_entry(f"files/u/{JOB}/in/ä b.txt"), 3, "twice"),
        (_entry(f"files/u/{JOB}/in/ä b.txt/below"), 3, "twice"),
        (_entry("files/a", pax_headers={"AGENTMESH.sha256": "0"}), 3, "SHA-256"),
        (_entry("files/a"), 2, "files of jobs"),
        (_entry("files/a"), 4, "files of jobs"),
    ],
)
def test_a_file_of_a_job_leads_nowhere_else(
    data: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    entry: tarfile.TarInfo,
    count: int,
    said: str,
) -> None:
    """Whoever may write a backup may not write the machine: nothing is put anywhere."""
    assert 0 == app.run(["backup", str(tmp_path / "mesh.tar"), "--data-dir", str(data)])
    _tampered(tmp_path / "mesh.tar", tmp_path / "wrong.tar", entry, b"" if not entry.isreg() else b"x", count)

    assert 2 == app.run(["restore", str(tmp_path / "wrong.tar"), "--data-dir", str(tmp_path / "again")])

    assert said in capsys.readouterr().err
    assert ["data", "mesh.tar", "wrong.tar"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_backup_that_was_cut_off_is_not_restored(
    data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever that was."""
    file = tmp_path / "mesh.tar"
    assert 0 == app.run(["backup", str(file), "--data-dir", str(data)])
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        offsets = [entry.offset for entry in tar.getmembers()]
    for number, end in enumerate([*offsets[1:], offsets[-1] + 700, offsets[-1] + 512]):
        (tmp_path / "cut.tar").write_bytes(whole[:end])
        assert 2 == app.run(["restore", str(tmp_path / "cut.tar"), "--data-dir", str(tmp_path / f"again{number}")])
        assert "take another" in (said := capsys.readouterr().err) or "was cut off" in said
        assert not (tmp_path / f"again{number}" / "files").exists()


def test_a_backup_without_files_of_jobs_is_restored(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """As those of format 1 are, in which there were none."""
    assert 0 == app.run(["backup", str(tmp_path / "mesh.tar"), "--data-dir", str(data), "--no-files"])
    with tarfile.open(tmp_path / "mesh.tar") as old, tarfile.open(tmp_path / "old.tar", "w") as new:
        for entry in old.getmembers():
            content = (old.extractfile(entry) or io.BytesIO()).read()
            if entry.name == "manifest.json":
                said = {**json.loads(content), "format": 1}
                del said["of_jobs"]
                content = json.dumps(said).encode()
                entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))

    assert 0 == app.run(["restore", str(tmp_path / "old.tar"), "--data-dir", str(tmp_path / "again")])
    assert {"mesh.secret", "runner.db", "up.lock"} == {path.name for path in (tmp_path / "again").iterdir()}
    assert 2 == archive.FORMAT
