"""The reference says what the code does: it is what `make reference` makes of it."""

import re

import pytest

from tests.readme.snippets import ROOT
from tools.reference import pages

FOLDER = ROOT / "docs" / "reference"
PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_makes(name: str) -> None:
    """Word for word."""
    assert PAGES[name] == (FOLDER / name).read_text(encoding="utf-8"), "it is stale: run `make reference` and commit"


def test_nothing_else_is_there() -> None:
    """A page that is made no more is gone; only the first is written by hand."""
    assert {"index.md", *PAGES} == {path.name for path in FOLDER.iterdir()}


def test_what_people_import_and_type_is_in_it() -> None:
    """A name of each kind, and none of the mesh's insides."""
    assert "## agentmesh users add" in PAGES["cli.md"]
    assert "| `enter(path: str, model: Model" in PAGES["sdk.md"]
    assert "### AsyncClient.schedules" in PAGES["client.md"]
    assert "`POST /mesh/v1/{name=jobs/*}:cancel`" in PAGES["protos.md"]
    assert "| `NOT_FOUND` | `NOT_FOUND` | `NotFound` |" in PAGES["errors.md"]
    assert "check_steps" not in PAGES["sdk.md"]
    assert not [name for name, text in PAGES.items() if "(seed: " in text or "(spec: " in text]


def test_commands_that_pages_show_are_there() -> None:
    """With the options that they are shown with; what a flow or a lock takes is its own."""
    known = {
        section.partition("\n")[0]: set(re.findall(r"(?<=`)--?[a-z][a-z-]*", section))
        for section in PAGES["cli.md"].split("\n## ")[1:]
    }
    shown = {
        (path.name, line.removeprefix("$ "))
        for path in (ROOT / "docs").rglob("*.md")
        for block in re.findall(r"^```(?:|sh|text|console)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)
        for line in block.replace("\\\n", " ").splitlines()
        if line.removeprefix("$ ").startswith("agentmesh ")
    }

    assert len(shown) > 50
    for page, line in shown:
        words = line.partition(" #")[0].partition(" || ")[0].split()
        command = next((name for size in (3, 2) if (name := " ".join(words[:size])) in known), None)
        assert command, f"{page}: there is no command {line}"
        if command not in ("agentmesh run", "agentmesh answer", "agentmesh rerun"):
            options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert options <= {*known[command], "--url", "--json"}, f"{page}: {line}"
