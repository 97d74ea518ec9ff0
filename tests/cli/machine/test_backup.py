"""`agentmesh backup` and `agentmesh restore`: of a mesh under load, and of a PostgreSQL."""

import concurrent.futures
import contextlib
import hashlib
import io
import json
import pathlib
import stat
import tarfile
import threading
from collections.abc import Iterator

import asyncpg
import pytest

from agentmesh.backups import postgres as tools
from agentmesh.cli import app
from agentmesh.client import Client
from agentmesh.testing import Mesh, running_mesh
from tests.servers.postgresql import Postgres, programs

COUNTER = """
from agentmesh import Launch, ServeAPI, forms

app = ServeAPI()


@app.enter(path="/", model=forms.Model(forms.Submit("Count")), summary="Counter", description="Counts.")
async def enter(request, inputs):
    return Launch(request, count, inputs=inputs)


async def count(inputs, tracer):
    for number in range(20):
        await tracer.debug(str(number))
    return {"counted": 20}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh with an app that counts."""
    folder = tmp_path_factory.mktemp("apps")
    (folder / "counter.py").write_text(COUNTER)
    with running_mesh(cwd=folder, data_dir=folder / "data") as mesh:
        mesh.deploy("counter", "counter:app")
        yield mesh


@contextlib.contextmanager
def loaded(mesh: Mesh, threads: int = 4) -> Iterator[list[str]]:
    """For the block, launch jobs without end; yield the ids of those that were acknowledged."""
    acknowledged: list[str] = []
    some, over = threading.Event(), threading.Event()
    token = mesh.client.login("admin", "admin").access_token

    def launch() -> None:
        with Client(mesh.url, token=token) as client:
            while not over.is_set():
                acknowledged.append(client.create_job("counter").id)
                if len(acknowledged) > 10:
                    some.set()

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(launch) for _ in range(threads)]
        try:
            assert some.wait(60)
            yield acknowledged
        finally:
            over.set()
        for each in running:
            each.result()


def test_a_backup_under_load_has_every_job_that_was_acknowledged_before(
    mesh: Mesh, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Restored into a new folder, each is there and ends, and its log is gapless with one terminal event."""
    file = tmp_path / "mesh.tar"
    with loaded(mesh) as acknowledged:
        before = list(acknowledged)
        assert 0 == app.run(["backup", str(file), "--data-dir", str(mesh.data_dir)])
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    shown = capsys.readouterr().out
    assert "act as any user" in shown
    data = tmp_path / "data"

    assert 0 == app.run(["restore", str(file), "--data-dir", str(data)])

    with running_mesh(cwd=mesh.data_dir.parent, data_dir=data) as again:
        for job in before:
            ended = again.client.wait(job, timeout_s=60)
            numbers = [event.seq for event in again.client.events(job)]
            assert list(range(1, len(numbers) + 1)) == numbers
            assert ended.ended, ended


def test_a_running_mesh_and_a_folder_that_is_not_empty_are_left_alone(
    mesh: Mesh, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless one says --replace: then what was there is moved aside, whole."""
    file, data = tmp_path / "mesh.tar", tmp_path / "data"
    assert 0 == app.run(["backup", str(file), "--data-dir", str(mesh.data_dir)])
    assert 2 == app.run(["backup", str(file), "--data-dir", str(mesh.data_dir)])
    assert "exists" in capsys.readouterr().err

    assert 2 == app.run(["restore", str(file), "--data-dir", str(mesh.data_dir), "--replace"])
    assert "a mesh runs in" in capsys.readouterr().err

    data.mkdir()
    (data / "mine").write_text("mine")
    assert 2 == app.run(["restore", str(file), "--data-dir", str(data)])
    assert "is not empty" in capsys.readouterr().err
    assert ["mine"] == [path.name for path in data.iterdir()]

    assert 0 == app.run(["restore", str(file), "--data-dir", str(data), "--replace"])
    assert "mine" == next(tmp_path.glob("data-before-*/mine")).read_text()
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in data.rglob("*.db")}


def test_keys_may_be_left_out_and_are_asked_for(
    mesh: Mesh, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the file cannot act as anybody; the restore says what is missing."""
    file = tmp_path / "mesh.tar"
    assert 0 == app.run(["backup", str(file), "--data-dir", str(mesh.data_dir), "--no-keys"])

    assert 0 == app.run(["restore", str(file), "--data-dir", str(tmp_path / "data")])

    said = capsys.readouterr().out
    assert "put mesh.secret, encryption.key, auth/signing_key.pem into" in said
    assert said.endswith(f"nothing runs yet: agentmesh up --data-dir {tmp_path / 'data'}\n")
    with tarfile.open(file) as tar:
        assert not [name for name in tar.getnames() if name.startswith("keys")]


def _tampered(source: pathlib.Path, target: pathlib.Path, name: str) -> None:
    """Write a backup whose first database is another than its manifest says, under a name that it says."""
    data = b"not what was written"
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        manifest = json.load(old.extractfile("manifest.json") or io.BytesIO())
        digest = hashlib.sha256(data).hexdigest() if name != "databases/auth.db" else manifest["files"][name][1]
        manifest["files"] = {name: [len(data), digest]}
        for entry, text in (("manifest.json", json.dumps(manifest).encode()), (name, data)):
            info = tarfile.TarInfo(entry)
            info.size = len(text)
            new.addfile(info, io.BytesIO(text))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("databases/auth.db", "SHA-256"),
        ("databases/../../out.db", "tampered"),
        ("databases//etc/out.db", "tampered"),
        ("databases/other.db", "damaged"),
    ],
)
def test_what_is_not_as_it_was_written_is_not_restored(
    mesh: Mesh, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    """Nothing is put anywhere: checksums, places and databases are looked at first."""
    file, wrong = tmp_path / "mesh.tar", tmp_path / "wrong.tar"
    assert 0 == app.run(["backup", str(file), "--data-dir", str(mesh.data_dir)])
    _tampered(file, wrong, name)

    assert 2 == app.run(["restore", str(wrong), "--data-dir", str(tmp_path / "data")])

    assert said in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_no_backup_is_called_so(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, and so is a folder that is no mesh's; nothing is left of folders that were made for it."""
    (tmp_path / "text").write_text("hello" * 1000)
    assert 2 == app.run(["restore", str(tmp_path / "text"), "--data-dir", str(tmp_path / "new" / "data")])
    assert "is no backup" in capsys.readouterr().err
    (tmp_path / "there").mkdir()
    assert 2 == app.run(["restore", str(tmp_path / "none"), "--data-dir", str(tmp_path / "there")])
    assert {"text", "there"} == {path.name for path in tmp_path.iterdir()}
    assert not list((tmp_path / "there").iterdir())
    assert 2 == app.run(["backup", str(tmp_path / "b.tar"), "--data-dir", str(tmp_path)])
    assert "has no databases" in capsys.readouterr().err
    assert not (tmp_path / "b.tar").exists()


async def test_a_postgresql_is_copied_by_its_own_tools(
    postgres_server: Postgres,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only the mesh's schemas are; they go back into an empty database, and over one only if that is said."""
    source, target = postgres_server.fresh(), postgres_server.fresh()
    connection = await asyncpg.connect(source)
    await connection.execute("CREATE SCHEMA agentmesh_runner; CREATE TABLE agentmesh_runner.jobs (id text)")
    await connection.execute("INSERT INTO agentmesh_runner.jobs VALUES ('one'); CREATE TABLE public.others (id text)")
    await connection.close()
    monkeypatch.setenv("PATH", f"{programs()}:/usr/bin:/bin")
    data, again = tmp_path / "data", tmp_path / "again"
    data.mkdir()
    (data / "mesh.secret").write_text("s")
    monkeypatch.setenv("AGENTMESH_DATABASE_URL", source)
    assert 0 == app.run(["backup", str(tmp_path / "mesh.tar"), "--data-dir", str(data)])

    monkeypatch.setenv("AGENTMESH_DATABASE_URL", target)
    assert 0 == app.run(["restore", str(tmp_path / "mesh.tar"), "--data-dir", str(again)])

    connection = await asyncpg.connect(target)
    assert ["one"] == [row["id"] for row in await connection.fetch("SELECT id FROM agentmesh_runner.jobs")]
    assert None is await connection.fetchval("SELECT to_regclass('public.others')")
    assert "s" == (again / "mesh.secret").read_text()
    await connection.execute("INSERT INTO agentmesh_runner.jobs VALUES ('two')")
    third = ["restore", str(tmp_path / "mesh.tar"), "--data-dir", str(tmp_path / "third")]
    assert 2 == app.run(third)
    assert "already exists" in capsys.readouterr().err
    assert 0 == app.run([*third, "--replace"])
    assert ["one"] == [row["id"] for row in await connection.fetch("SELECT id FROM agentmesh_runner.jobs")]
    await connection.close()
    monkeypatch.delenv("AGENTMESH_DATABASE_URL")
    assert 2 == app.run(["restore", str(tmp_path / "mesh.tar"), "--data-dir", str(tmp_path / "fourth")])
    assert "of postgresql" in capsys.readouterr().err


def test_a_password_is_in_no_command_line() -> None:
    """It would be for every user of the machine to read."""
    bare, password = tools.without_password("postgresql://mesh:p%40ss@db:5432/mesh?sslmode=require")

    assert ("postgresql://mesh@db:5432/mesh?sslmode=require", "p@ss") == (bare, password)
    url = "postgresql:///mesh?host=/run/pg&password=secret"
    assert ("postgresql:///mesh?host=/run/pg", "secret") == tools.without_password(url)
