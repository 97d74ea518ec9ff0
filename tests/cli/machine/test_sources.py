"""The file that `agentmesh dev` is given: where it is imported from, and what in it is the app."""

import pathlib

import pytest

from agentmesh.cli.machine import sources

PLAIN = "from agentmesh import ServeAPI\napp = ServeAPI()\n"


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        (PLAIN, "app"),
        ("import agentmesh\nservice = agentmesh.ServeAPI()\n", "service"),
        (f"{PLAIN}class A: ...\nfast_app = A.bind()\n", "fast_app"),
        (f"{PLAIN}other = ServeAPI()\n", "app"),
        (f"{PLAIN}again = app\n", "app"),
        ("from fastapi import FastAPI\napi: FastAPI = FastAPI()\n", "api"),
    ],
)
def test_the_one_app_is_found_without_running_the_file(tmp_path: pathlib.Path, text: str, attribute: str) -> None:
    """What is bound for Ray Serve goes before the app that is in it; of several, the one called `app`."""
    file = tmp_path / "greeter.py"
    file.write_text(text)

    assert f"greeter:{attribute}" == sources.find(str(file)).import_path


def test_it_is_imported_from_the_folder_that_is_no_package(tmp_path: pathlib.Path) -> None:
    """So relative imports within a package work, and so do those of files beside a lone one."""
    package = tmp_path / "shop" / "flows"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "app.py").write_text(PLAIN)
    (tmp_path / "app.py").write_text(PLAIN)

    inside, alone = sources.find(f"{package}/app.py:app"), sources.find(f"{tmp_path}/app.py")
    assert (tmp_path, "shop.flows.app:app", "flows") == (inside.root, inside.import_path, inside.name)
    assert (tmp_path, "app:app") == (alone.root, alone.import_path)


def test_a_change_is_seen_and_what_nobody_edits_is_not_looked_at(tmp_path: pathlib.Path) -> None:
    """Sources and what they read; neither environments, nor what is hidden, nor what Python makes."""
    file = tmp_path / "app.py"
    for other in (".hidden/a.py", "__pycache__/a.py", "venv/a.py", "data/a.json", "picture.png"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text("")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    file.write_text(PLAIN)
    before = sources.look(tmp_path)
    file.write_text(f"{PLAIN}# more\n")

    assert {str(file)} == before.keys()
    assert before != sources.look(tmp_path)
