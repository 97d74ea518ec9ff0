"""The folders of jobs: made for nobody else, and gone afterwards, whatever is in them."""

import os
import pathlib
import tempfile

from agentmesh.host.own import folders


def test_what_is_as_it_was_made_goes_at_once(tmp_path: pathlib.Path) -> None:
    """Nobody else can enter it while it is there."""
    folder = tmp_path / "1"
    folders.make(folder)
    modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "tmp")]

    assert [0o700, 0o700] == modes
    assert folders.remove_empty(folder)
    assert not folder.exists()


def test_what_is_full_is_left_to_whoever_has_time(tmp_path: pathlib.Path) -> None:
    """It says so, and all of it goes then."""
    folder = tmp_path / "1"
    folders.make(folder)
    (folder / "tmp" / "a").touch()

    assert not folders.remove_empty(folder)
    assert folders.remove(folder)
    assert not folder.exists()


def test_neither_depth_nor_rights_nor_names_keep_a_folder(tmp_path: pathlib.Path) -> None:
    """A path longer than any call takes, folders that nobody may enter, a name that is taken."""
    folder = tmp_path / "1"
    folders.make(folder)
    at = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deep", dir_fd=at)
        inner = os.open("deep", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    closed = folder / "closed" / "inner"
    closed.mkdir(parents=True)
    (closed / "a").touch()
    (folder / f".{os.getpid()}.0" / "b").mkdir(parents=True)
    (folder / "many").mkdir()
    for number in range(500):
        (folder / "many" / str(number)).touch()
    for path in (closed, closed.parent, folder):
        path.chmod(0)

    assert folders.remove(folder)
    assert not folder.exists()


def test_links_are_not_followed(tmp_path: pathlib.Path) -> None:
    """What they lead to stays, as it was."""
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    (kept / "file").touch()
    folder = tmp_path / "1"
    folders.make(folder)
    (folder / "link").symlink_to(kept)
    (folder / "in").mkdir()
    (folder / "in" / "link").symlink_to(kept)
    (tmp_path / "2").symlink_to(kept)

    assert folders.remove(folder)
    assert not folders.remove(tmp_path / "2")
    assert ["file"] == os.listdir(kept)
    assert 0o755 == kept.stat().st_mode & 0o777


def test_a_removal_may_be_given_up(tmp_path: pathlib.Path) -> None:
    """What is left is there for whoever comes next."""
    folder = tmp_path / "1"
    folders.make(folder)
    (folder / "a").touch()

    assert not folders.remove(folder, within_s=-1.0)
    assert (folder / "a").exists()


def test_what_is_not_there_is_removed(tmp_path: pathlib.Path) -> None:
    """Both ways are content."""
    assert folders.remove_empty(tmp_path / "1")
    assert folders.remove(tmp_path / "1")


def test_a_name_that_was_found_before_is_forgotten(tmp_path: pathlib.Path) -> None:
    """Python keeps the folder for temporary files that it has found once; one that the author has given stays."""
    before = tempfile.gettempdir(), os.environ.get("HOME"), os.environ.get("TMPDIR")
    try:
        folders.settle(tmp_path / "1", {"HOME"})
        found = tempfile.gettempdir(), os.environ.get("HOME"), os.environ.get("TMPDIR")
    finally:
        tempfile.tempdir = before[0]
        for name, value in zip(("HOME", "TMPDIR"), before[1:], strict=True):
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    assert (str(tmp_path / "1" / "tmp"), before[1], str(tmp_path / "1" / "tmp")) == found
