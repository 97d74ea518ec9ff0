"""No name of a file leads out of the folder of its job."""

import pytest

from meshkit.errors import Invalid
from services.runner.domain import files
from services.runner.domain.files import Kept, Limits


@pytest.mark.parametrize("path", ["a", "a/b.txt", ".hidden", "a..b", "ä b/ç.txt", "x" * 255, "/".join("a" * 32)])
def test_a_path_that_is_one_passes(path: str) -> None:
    """Blanks, dots in names, and letters of all scripts."""
    assert path == files.checked_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "../a", "a/../../b", "a/./b", "/etc/passwd", "a//b", "a/", "...", "a/ /b", ". ."),
        *("a\\..\\b", "C:\\a", "a\0b", "a\nb", "a\u2028b", "a\ud800", "a\u202egpj.exe", "a\u2066b"),
        *("x" * 256, "ä" * 128, "/".join("a" * 33), "a/" * 600 + "a"),
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    """In words, whatever it tries."""
    with pytest.raises(Invalid, match="is no path of a file"):
        files.checked_path(path)


@pytest.mark.parametrize("path", ["etc/passwd", "../in/a", "IN/a", "", "uploads/a"])
def test_a_path_begins_with_a_root(path: str) -> None:
    """There are two."""
    with pytest.raises(Invalid):
        files.split(path)


@pytest.mark.parametrize("name", ["../other", "", "a" * 200, "users/..", ".."])
def test_a_key_is_made_of_ids(name: str) -> None:
    """Whoever asks: no owner, job or batch is a way out."""
    with pytest.raises(Invalid):
        files.folder_of(name, "a" * 24)
    with pytest.raises(Invalid):
        files.folder_of("users/me", name)
    with pytest.raises(Invalid):
        files.uploads_of("users/me", name or "-")
    with pytest.raises(Invalid):
        files.upload_key("users/me", "a" * 24, name)


def test_there_is_room_or_there_is_not() -> None:
    """Files and folders do not share a path, and what there may be is counted with the one to come."""
    there = [Kept(path="in/a", size=60, modified_at=1.0), Kept(path="in/d/b", size=30, modified_at=1.0)]
    limits = Limits(file_max=70, job_max=100)

    files.check_room("in/c", 10, there, limits)
    files.check_room("in/a", 70, there, limits)
    for path, size, why in (
        ("in/a/x", 1, "a part of its path is a file"),
        ("in/d", 1, "is a folder"),
        ("in/c", 11, "AGENTMESH_FILE_BYTES_PER_JOB"),
        ("in/c", 71, "AGENTMESH_FILE_BYTES_MAX"),
    ):
        with pytest.raises(Invalid, match=why):
            files.check_room(path, size, there, limits)
