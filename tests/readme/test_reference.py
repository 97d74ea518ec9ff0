"""The reference says what the code does: it is what `make reference` makes of it."""

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
