"""A mesh whose files are in a bucket (`tests.servers.s3`)."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from agentmesh.cli import app
from agentmesh.testing import Mesh, running_mesh
from tests.servers.s3 import Bucket, client, running_s3

APP = """
import os
import pathlib
from typing import Annotated

import pydantic
from agentmesh import ServeAPI, Tracer

app = ServeAPI()


class Papers(pydantic.BaseModel):
    papers: Annotated[list[str], pydantic.Field(json_schema_extra={"element": "file"})]


@app.flow(summary="Copy")
async def copy(inputs: Papers, tracer: Tracer) -> dict[str, str]:
    fs = await tracer.fs()
    for path in inputs.papers:
        await fs.write(path.replace("in/", "out/"), await fs.read(path))
    return {name: value for name, value in os.environ.items()}
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """An empty bucket."""
    with running_s3() as found:
        yield found


@pytest.fixture(scope="module")
def mesh(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh that is told of it, with an app that copies what it is given."""
    folder = tmp_path_factory.mktemp("apps")
    (folder / "copying.py").write_text(APP)
    told = {"AGENTMESH_FILES_URL": bucket.url, "AGENTMESH_FILES_OPTIONS": bucket.options}
    with running_mesh(cwd=folder, data_dir=folder / "data", env=told) as mesh:
        mesh.deploy("copying", "copying:app")
        yield mesh


def test_files_go_to_the_bucket_and_leave_it_with_their_job(mesh: Mesh, bucket: Bucket, tmp_path: pathlib.Path) -> None:
    """Large ones in parts; what was sent is not there twice, and no flow knows the key."""
    large = bytes(range(256)) * 4096 * 20
    (tmp_path / "large.bin").write_bytes(large)
    (tmp_path / "ä b.txt").write_text("small")
    mesh.client.login("admin", "admin")

    sent = mesh.client.files.send([tmp_path / "large.bin", tmp_path / "ä b.txt"])
    job = mesh.client.run("copying", {"papers": sent})

    assert job.succeeded, job
    assert bucket.name not in json.dumps(job.result)
    assert json.loads(bucket.options)["secret"] not in json.dumps(job.result)
    assert large == mesh.client.files.read(job.name, "out/large.bin")
    assert b"small" == mesh.client.files.read(job.name, "out/ä b.txt")
    with client(bucket) as s3:
        names = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket.name)["Contents"]]
        assert ["in/large.bin", "in/ä b.txt", "out/large.bin", "out/ä b.txt"] == sorted(
            name.partition(f"/{job.id}/")[2] for name in names
        )
        assert not (mesh.data_dir / "files").exists()
        mesh.client.delete_job(job.id)
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket.name)


def test_a_backup_leaves_them_there(
    mesh: Mesh,
    bucket: Bucket,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And says so, without the address, which may hold a password."""
    monkeypatch.setenv("AGENTMESH_FILES_URL", bucket.url)

    assert 0 == app.run(["backup", str(tmp_path / "mesh.tar"), "--data-dir", str(mesh.data_dir)])

    said = capsys.readouterr().out
    assert "files of jobs are not in it: save what AGENTMESH_FILES_URL names" in said
    assert bucket.name not in said
