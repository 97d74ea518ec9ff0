"""Which paths are allowed, and which ones are left out."""

import os
import pathlib

import pytest

from agentmesh.host.confine import places
from agentmesh.host.confine.landlock import READ, READ_DIR


def test_what_not_everybody_may_read_is_left_out(tmp_path: pathlib.Path) -> None:
    """As few paths as there can be."""
    for name in ("open/a", "open/b/c", "part/open", "part/closed", "closed/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch(0o644)
    (tmp_path / "part" / "closed").chmod(0o600)
    (tmp_path / "closed").chmod(0o700)
    (tmp_path / "link").symlink_to("closed")

    found = sorted(os.path.relpath(path, tmp_path) for path in places.public(str(tmp_path)))
    assert ["open", "part/open"] == found


def test_a_private_folder_is_gone_around(tmp_path: pathlib.Path) -> None:
    """Also through a link to it; other hidden folders stay out."""
    for name in ("app", "data/keys", "deep/data", "deep/app", ".git"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "module.py").touch()
    private = [str(tmp_path / "data"), str(tmp_path / "deep" / "data")]

    rules = places.readable({"working_dir": str(tmp_path)}, private, {})
    found = {os.path.relpath(path, tmp_path): allowed for path, allowed in rules if path.startswith(str(tmp_path))}
    assert {".": READ_DIR, "app": READ, "deep": READ_DIR, "deep/app": READ, "module.py": READ} == found


def test_a_folder_without_secrets_is_allowed_as_a_whole(tmp_path: pathlib.Path) -> None:
    """What is put there later can be read as well."""
    rules = places.readable({"py_modules": [str(tmp_path), "https://example.com/a.zip"]}, ["/nowhere"], {})

    assert (str(tmp_path), READ) in rules


@pytest.mark.parametrize("path", ["", "/keys", "/.."])
def test_an_expose_names_nothing_of_the_meshs_own(tmp_path: pathlib.Path, path: str) -> None:
    """Neither the folder, nor what is in it, nor what it is in."""
    with pytest.raises(ValueError, match="reaches into the mesh's own folders"):
        places.named([f"{tmp_path}{path}"], READ, [str(tmp_path)])


def test_what_a_job_adds_leaves_the_hosts_folder_out(tmp_path: pathlib.Path) -> None:
    """All else is as it was, in few rules."""
    folder = tmp_path / "host"
    folder.mkdir()
    app = tmp_path / "app"
    rules = places.beside(str(folder), [("/usr", READ), (str(app), READ)])

    top = "/" + str(tmp_path).split("/")[1]
    allowed = [path for path, _ in rules]
    assert top not in allowed
    assert str(app) in allowed
    assert not any(str(folder).startswith(path.rstrip("/") + "/") for path in allowed)
