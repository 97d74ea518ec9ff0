"""`agentmesh keys`: a mesh goes on while the key that signs is another."""

import json
import os
import pathlib
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from agentmesh.cli import app
from agentmesh.testing import Mesh, running_mesh
from meshkit.secrets import Secret, Vault
from services.auth.tokens import load_signer
from tests.faults.clocks import clocks as wrong_clocks

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """A mesh without apps."""
    with running_mesh() as mesh:
        yield mesh


def kids(mesh: Mesh) -> set[str]:
    """Return the names of the keys that the mesh shows."""
    return {key["kid"] for key in httpx.get(f"{mesh.url}/.well-known/jwks.json", timeout=30).json()["keys"]}


def kid_of(token: str) -> str:
    """Return the name of the key that has signed a token."""
    return str(jwt.get_unverified_header(token)["kid"])


def listed(mesh: Mesh, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what the command line says of the keys."""
    capsys.readouterr()
    assert 0 == app.run(["keys", "signing", "--json", "--data-dir", str(mesh.data_dir)])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_nobody_is_signed_out_by_a_new_key(mesh: Mesh, capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown before it signs; old and new tokens are taken by every service and by Envoy, with no restart."""
    old = mesh.client.login("admin", "admin").access_token
    before = kids(mesh)
    assert {kid_of(old)} == before
    data = ["--data-dir", str(mesh.data_dir)]

    assert 0 == app.run(["keys", "rotate-signing", "--lead-s", "8", *data])

    assert ["signs", "waits"] == [key["state"] for key in listed(mesh, capsys)]
    assert 2 == app.run(["keys", "rotate-signing", *data])
    assert "waits to sign already" in capsys.readouterr().err
    deadline = time.monotonic() + DEADLINE_S
    while kids(mesh) == before:
        assert time.monotonic() < deadline, "the new key is not shown"
    new = old
    while kid_of(new) == kid_of(old):
        new = mesh.client.login("admin", "admin").access_token
        assert time.monotonic() < deadline, "the new key does not sign"
    assert {kid_of(old), kid_of(new)} == kids(mesh)
    assert ["verifies", "signs"] == [key["state"] for key in listed(mesh, capsys)]
    files = [pathlib.Path(key["file"]) for key in listed(mesh, capsys)]
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files}

    with httpx.Client(base_url=mesh.url, timeout=30) as http:
        for token in (old, new):
            headers = {"Authorization": f"Bearer {token}"}
            for path in ("/mesh/v1/self", "/mesh/v1/jobs", "/mesh/v1/flows", "/mesh/v1/payments"):
                assert 200 == http.get(path, headers=headers).status_code, path
        # Envoy itself refuses what is large from whom it does not know, and says 401.
        large = {"target": "flows/none", "inputs": {"text": "x" * 20_000}}
        while 401 == http.post("/mesh/v1/jobs", json=large, headers={"Authorization": f"Bearer {new}"}).status_code:
            assert time.monotonic() < deadline, "Envoy does not know the new key"
        assert 401 != http.post("/mesh/v1/jobs", json=large, headers={"Authorization": f"Bearer {old}"}).status_code


def test_another_key_seals_and_those_before_still_open(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one file of our own user's; whose key is in the environment is told what to say there."""
    path = tmp_path / "encryption.key"
    sealed = [Vault.load(path).seal(Secret("s"), "p")]
    for _ in range(2):
        assert 0 == app.run(["keys", "rotate-sealing", "--data-dir", str(tmp_path)])
        sealed.append(Vault.load(path).seal(Secret("s"), "p"))
    monkeypatch.setenv("AGENTMESH_ENCRYPTION_KEY", "00" * 32)
    refused = app.run(["keys", "rotate-sealing", "--data-dir", str(tmp_path)])

    assert ["s"] * 3 == [Vault.load(path).open(each, "p").reveal() for each in sealed]
    assert 3 == len({each[:5] for each in sealed})
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 2 == refused
    assert "NEW,OLD" in capsys.readouterr().err


def test_the_mesh_can_read_a_new_key_whoever_made_it(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root leaves the file to its owner; another user, and a file that holds no key, are refused by name."""
    path = tmp_path / "encryption.key"
    Vault.load(path)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12346)
        assert 0 == app.run(["keys", "rotate-sealing", "--data-dir", str(tmp_path)])
        assert (12345, 12346) == (path.stat().st_uid, path.stat().st_gid)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    kept = path.read_bytes()
    assert 2 == app.run(["keys", "rotate-sealing", "--data-dir", str(tmp_path)])
    assert "or root, to write another" in capsys.readouterr().err
    assert kept == path.read_bytes()
    for damaged in ("", "00" * 31):
        path.write_text(damaged)
        assert 2 == app.run(["keys", "rotate-sealing", "--data-dir", str(tmp_path)])
        assert "encryption.key is damaged" in capsys.readouterr().err
    assert [path] == list(tmp_path.iterdir())


def test_a_folder_without_keys_is_no_meshs(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    assert 2 == app.run(["keys", "rotate-signing", "--data-dir", str(tmp_path)])
    assert "has no signing key" in capsys.readouterr().err
    assert 2 == app.run(["keys", "rotate-sealing", "--data-dir", str(tmp_path)])
    assert "encryption.key is not there" in capsys.readouterr().err


@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_a_new_key_signs_by_the_clock_of_the_mesh(postgres: str, tmp_path: pathlib.Path, by_s: int) -> None:
    """PostgreSQL's, where it has one: by that of a machine it would sign before it is known, or an hour late."""
    load_signer(tmp_path / "auth")
    command = [sys.executable, "-m", "agentmesh", "keys", "rotate-signing", "--data-dir", str(tmp_path)]
    with wrong_clocks() as wrong:
        environ = wrong.apart(by_s) | {"PYTHONPATH": ":".join(sys.path), "AGENTMESH_DATABASE_URL": postgres}
        subprocess.run(command, env=environ, check=True, timeout=DEADLINE_S)
        away = subprocess.run(
            command, env=environ | {"AGENTMESH_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, capture_output=True
        )

    (signs_from,) = [int(path.name.split(".")[1]) / 1e6 for path in (tmp_path / "auth").glob("signing_key.*.pem")]
    assert abs(signs_from - time.time() - 60) < 55
    assert (2, True) == (away.returncode, b"cannot be asked for" in away.stderr)
