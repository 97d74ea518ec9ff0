"""The URL of the database picks the adapter, or says what could be picked."""

import pathlib

import pytest

from meshkit.databases import Memory, Place, PostgresDatabase, SqliteFolder, parse
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
        ("postgresql://mesh:s3cret@db:5432/mesh", PostgresDatabase("postgresql://mesh:s3cret@db:5432/mesh")),
        ("postgresql://mesh@/mesh?host=/run/pg", PostgresDatabase("postgresql://mesh@/mesh?host=/run/pg")),
        ("postgres://db/mesh?sslmode=require", PostgresDatabase("postgres://db/mesh?sslmode=require")),
    ],
)
def test_a_url_names_a_place(url: str, place: Place) -> None:
    """Four slashes, as other programs want them, mean the same."""
    assert place == parse(url, DATA)
    assert place == Settings(data_dir=DATA, database_url=url).database


def test_each_service_has_a_file_of_its_own() -> None:
    """In the one folder."""
    assert SqliteFolder(DATA).file("auth") == DATA / "auth.db"


def test_a_password_is_not_shown() -> None:
    """Not by a place, nor by settings."""
    settings = Settings(database_url="postgresql://mesh:s3cret@db:5432/mesh?host=other&password=s3cret")
    assert isinstance(settings.database, PostgresDatabase)
    assert "other/mesh" == settings.database.address
    assert "s3cret" not in f"{settings!r} {settings} {settings.database!r}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://mesh:s3cret@db",
        "postgresql://mesh:s3cret@db/",
        "postgresql://mesh:s3cret@db/mesh/more",
        "postgresql://mesh:s3cret@db:port/mesh",
        "postgresql://mesh:s3cret@db/mesh?application_name=s3cret",
        "mysql://mesh:s3cret@db/mesh",
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
    assert "sqlite:///ABSOLUTE/FOLDER" in said or "PostgreSQL URL" in said
    assert "s3cret" not in said
