"""Which stores a runner opens."""

import pathlib

import pytest
import structlog

from services.runner.config import Config
from services.runner.kept import opened_files


@pytest.mark.parametrize(
    ("settings", "is_told"),
    [
        ({}, False),
        ({"database_url": "postgresql://mesh@localhost/mesh"}, True),
        ({"database_url": "postgresql://mesh@localhost/mesh", "files_url": "memory://files"}, False),
    ],
)
async def test_a_folder_of_files_that_others_may_not_find_is_said(
    tmp_path: pathlib.Path, settings: dict[str, str], is_told: bool
) -> None:
    """Where several runners may share the database, each would keep files for itself."""
    with structlog.testing.capture_logs() as lines:
        await opened_files(Config.model_validate({"data_dir": tmp_path, **settings}))

    assert is_told == any("AGENTMESH_FILES_URL" in line["event"] for line in lines)
