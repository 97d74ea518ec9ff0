"""`agentmesh certs`."""

import pathlib
import stat

import pytest
from cryptography import x509

from agentmesh.cli import app
from agentmesh.cli.machine import certs


def test_certificates_are_made_once(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One for each name, and keys that only their owner can read; what is there stays."""
    folder = tmp_path / "certs"
    assert 0 == app.run(["certs", str(folder)])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "runner.crt").unlink()

    assert 0 == app.run(["certs", str(folder), "--days", "30"])

    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {f"{name}.{kind}" for name in ("ca", *certs.NAMES) for kind in ("crt", "key")} == set(after)
    assert {"runner.crt", "runner.key"} == {name for name in after if after[name] != before[name]}
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.key")}
    made = x509.load_pem_x509_certificate(after["runner.crt"])
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["runner.agentmesh"] == names.get_values_for_type(x509.DNSName)
    assert 30 == (made.not_valid_after_utc - made.not_valid_before_utc).days - 1
    assert "ca.crt" in capsys.readouterr().out


def test_a_key_that_is_not_the_cas_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    certs.make(tmp_path, 1)
    (tmp_path / "ca.key").write_bytes((tmp_path / "auth.key").read_bytes())
    (tmp_path / "auth.crt").unlink()

    assert 2 == app.run(["certs", str(tmp_path)])
    assert "is not the key of ca.crt" in capsys.readouterr().err
