"""The token for developers is made once for each folder, and nobody else reads it."""

import pathlib

from services.ledger.config import Config


def test_a_folder_has_a_token_of_its_own(tmp_path: pathlib.Path) -> None:
    """The same at each start, another elsewhere; what the file has is taken, and off loopback there is none."""
    one, other = Config(data_dir=tmp_path / "a"), Config(data_dir=tmp_path / "b")
    token = one.options.development_token
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "ledger.token").write_text("mine\n")

    assert token == one.options.development_token != other.options.development_token
    assert len(token) > 24
    assert 0o600 == (tmp_path / "a" / "ledger.token").stat().st_mode & 0o777
    assert "mine" == Config(data_dir=tmp_path / "given").options.development_token
    assert "" == Config(data_dir=tmp_path / "c", host="0.0.0.0").options.development_token
    assert not (tmp_path / "c").exists()
