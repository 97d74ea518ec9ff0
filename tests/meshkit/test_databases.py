"""The URL of the database picks the adapter, or says what could be picked."""

import pathlib

import pytest

from meshkit.databases import Memory, Place, SqliteFolder, parse
from meshkit.service import Settings, from_environment

DATA = pathlib.Path("data")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("", SqliteFolder(DATA)),
        ("sqlite:///var/lib/mesh", SqliteFolder(pathlib.Path("/var/lib/mesh"))),
        ("sqlite:////var/lib/mesh/", SqliteFolder(pathlib.Path("/var/lib/mesh"))),
        ("sqlite:///var/my%20mesh", SqliteFolder(pathlib.Path("/var/my mesh"))),
        ("memory:", Memory()),
    ],
)
def test_a_url_names_a_place(url: str, place: Place) -> None:
    """Four slashes, as other programs want them, mean the same."""
    assert place == parse(url, DATA)
    assert place == Settings(data_dir=DATA, database_url=url).database


def test_each_service_has_a_file_of_its_own() -> None:
    """In the one folder."""
    assert SqliteFolder(DATA).file("auth") == DATA / "auth.db"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://mesh:s3cret@db/mesh",
        "sqlite://relative/folder",
        "sqlite:relative",
        "sqlite:",
        "sqlite:///",
        "sqlite:///folder?mode=ro",
        "memory:somewhere",
        "/var/lib/mesh",
        "C:\\mesh",
        "s3cret",
    ],
)
def test_another_url_is_refused_by_name(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service that is told to use it says which setting is wrong and what it may be, and exits with 2."""
    monkeypatch.setenv("AGENTMESH_DATABASE_URL", url)
    with pytest.raises(SystemExit) as caught:
        from_environment(Settings)

    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert "AGENTMESH_DATABASE_URL" in said
    assert "sqlite:///ABSOLUTE/FOLDER" in said
    assert "s3cret" not in said
