"""What a `runtime_env` asks for."""

import pathlib
from typing import Any

import pytest

from agentmesh.host.packages.asked import asked, hidden
from tests.host.packages import wheels


def test_a_file_is_read_with_what_it_names(tmp_path: pathlib.Path) -> None:
    """Paths are made whole, comments go, and other files and constraints come in."""
    wheel = wheels.wheel(tmp_path / "wheels", "1.0")
    (tmp_path / "more.txt").write_text("two==2  # twice\n", encoding="utf-8")
    (tmp_path / "pins.txt").write_text("three==3\n", encoding="utf-8")
    lines = [
        "-r more.txt",
        "-c pins.txt",
        "--find-links=wheels",
        f"./wheels/{wheel.name}[x]",
        "# none",
        "",
        "one \\",
        "<2",
    ]
    (tmp_path / "requirements.txt").write_text("\n".join(lines), encoding="utf-8")

    found = asked({"requirements": "requirements.txt"}, tmp_path)

    assert found is not None
    assert ("two==2", f"--find-links {tmp_path}/wheels", f"{wheel}[x]", "one  <2") == found.lines
    assert "three==3" == found.constraints[0]
    assert 3 == found.count
    names = ("requirements.txt", "more.txt", "pins.txt", "wheels", f"wheels/{wheel.name}")
    assert {str(tmp_path / name) for name in names} == set(found.paths)


def test_the_same_packages_are_one_environment(tmp_path: pathlib.Path) -> None:
    """However they are asked for; another wheel at the same path is another one."""
    wheel = wheels.wheel(tmp_path, "1.0")
    ways: list[dict[str, Any]] = [
        {"pip": [str(wheel), "a"]},
        {"uv": ["a", str(wheel)]},
        {"pip": {"packages": ["a", f"./{wheel.name}"], "pip_check": False}},
    ]
    keys = {found.key for way in ways if (found := asked(way, tmp_path)) is not None}
    other = asked({"pip": ["a", "b"]}, tmp_path)
    wheels.packed(wheel, {"another": ""})
    after = asked(ways[0], tmp_path)

    assert other is not None
    assert after is not None
    assert 1 == len(keys)
    assert 3 == len({*keys, other.key, after.key})


def test_what_is_named_is_not_the_whole_machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names too many files, or too large ones, is told so."""
    monkeypatch.setattr("agentmesh.host.packages.asked._ENTRIES_MAX", 3)
    for name in ("a", "b", "c/d"):
        (tmp_path / "many" / name).mkdir(parents=True)
    with (tmp_path / "large.whl").open("wb") as file:
        file.truncate(9 << 30)

    with pytest.raises(ValueError, match=r"runtime_env\.pip: there are more than 3 files and folders in .*many"):
        asked({"pip": ["a", "--find-links many"]}, tmp_path)
    with pytest.raises(ValueError, match=r"runtime_env\.pip: the files that it names have more than"):
        asked({"pip": ["./large.whl"]}, tmp_path)


def test_options_as_rays_documents_have_them(tmp_path: pathlib.Path) -> None:
    """Some hold anyway; some are none of a requirements file's."""
    options = ["--disable-pip-version-check", "--no-cache-dir", "-q", "--no-deps", "--retries", "9", "--pre"]
    found = asked({"pip": {"packages": ["a"], "pip_install_options": options}}, tmp_path)

    assert found is not None
    assert ("a", "--pre") == found.listed
    assert ("--no-deps", "--retries", "9") == found.flags


@pytest.mark.parametrize(
    ("runtime_env", "why"),
    [
        ({"pip": 3}, "must be a list of requirements"),
        ({"pip": ["a"], "uv": ["b"]}, "has both pip and uv"),
        ({"pip": "none.txt"}, "none.txt cannot be read"),
        ({"pip": ["./none.whl"]}, "none.whl is not on this machine"),
        ({"pip": ["--target /"]}, "the option --target is not known"),
        ({"pip": ["-e ."]}, "the option --editable is not known"),
        ({"pip": {"packages": ["a"], "pip_install_options": ["--prefix=/"]}}, "the option --prefix is not known"),
        ({"uv": ["a\nb"]}, "a requirement is one line"),
    ],
)
def test_what_cannot_be_asked_for_is_named(tmp_path: pathlib.Path, runtime_env: dict[str, Any], why: str) -> None:
    """With the key that it stands at."""
    with pytest.raises(ValueError, match="runtime_env") as caught:
        asked(runtime_env, tmp_path)

    assert why in str(caught.value)


def test_nothing_is_asked_for_by_empty_lists(tmp_path: pathlib.Path) -> None:
    """Nor by options alone."""
    ways: list[dict[str, Any]] = [
        {},
        {"pip": []},
        {"pip": {"packages": []}},
        {"uv": ["--pre"]},
        {"env_vars": {"A": "1"}},
    ]

    assert [None] * len(ways) == [asked(way, tmp_path) for way in ways]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://ann:secret@index.example/simple", "at https://[REDACTED]@index.example/simple"),
        ("at https://ann:se@cret@index.example/a@1", "at https://[REDACTED]@index.example/a@1"),
        ("fetching https://s3.example/a.zip?sig=secret&x=1: 403", "fetching https://s3.example/a.zip?[REDACTED] 403"),
        ("is that so? a=b", "is that so? a=b"),
    ],
)
def test_an_address_says_its_credentials_to_nobody(text: str, shown: str) -> None:
    """In words for people; nor what it is signed by."""
    assert shown == hidden(text)
