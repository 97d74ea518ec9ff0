"""What the pages of `docs/` show runs as it stands there."""

import itertools
import json
import pathlib
import re
import sys
from collections.abc import Iterator

import pytest

from agentmesh.testing import Mesh
from tests.readme.snippets import ROOT, lay_out, of, quick_mesh, run, run_python, run_shell, snippets

PAGES = ("agents.md", "files.md", "flows.md", "kasal.md", "locks.md", "payments.md")
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
)
ALL = {page: snippets(f"docs/{page}") for page in PAGES}

pytestmark = pytest.mark.xdist_group("readme")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with the files that the pages show."""
    return lay_out(itertools.chain(*ALL.values()), tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="module")
def mesh(folder: pathlib.Path) -> Iterator[Mesh]:
    """Return a mesh, started in that folder, whose ledger is quick."""
    with quick_mesh(folder) as mesh:
        yield mesh


@pytest.mark.parametrize("page", PAGES)
def test_no_snippet_is_left_out(page: str) -> None:
    """Each fenced block is a file, a command or a program that a test here runs."""
    files = [snippet for snippet in ALL[page] if snippet.title]
    shell, python = of(page, "sh"), of(page, "python")

    assert all([shell, python])
    assert len(ALL[page]) == len([*files, *shell, *python])


def test_a_flow_declares_what_it_takes(mesh: Mesh, folder: pathlib.Path) -> None:
    """The form, a run, a refusal; then by the Python client."""
    shown = run_shell(of("flows.md", "sh"), folder, mesh)

    assert "--top\tnumber\tTop (3)" in shown
    assert "word\tcount\nthe\t3\nsea\t3" in shown
    assert "100 % counting" in shown
    assert "refused: no job was started" in shown
    (program,) = of("flows.md", "python")
    assert "['top']\nword\tcount\nto\t2\nbe\t2\n" == run_python(program, folder, mesh)


def test_the_test_of_a_flow_passes(folder: pathlib.Path) -> None:
    """It needs no mesh."""
    shown = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_words.py"], folder)

    assert "2 passed" in shown


def test_files_are_sent_and_fetched(mesh: Mesh, folder: pathlib.Path) -> None:
    """By the command line, then by the Python client."""
    shown = run_shell(of("files.md", "sh"), folder, mesh)

    assert "out/counts.csv\t" in shown
    assert "hamlet.txt,6" in shown
    (program,) = of("files.md", "python")
    assert "['in/hamlet.txt', 'out/counts.csv']\nhamlet.txt,6\n\n" == run_python(program, folder, mesh)


def test_agents_and_crews_run(mesh: Mesh, folder: pathlib.Path) -> None:
    """Each by the command line on the offline model, then by the Python client."""
    shown = run_shell(of("agents.md", "sh"), folder, mesh)

    assert "created as atlas, active" in shown
    assert "42" in shown
    assert 2 == len(re.findall(r"^(?:\d+ )?status succeeded$", shown, re.M))
    (exchange,) = [json.loads(line) for line in shown.splitlines() if line.startswith('{"message"')]
    assert ("And what did I ask?", "succeeded") == (exchange["message"], exchange["state"])
    assert "144" in shown
    program, talk = of("agents.md", "python")
    assert "42" in run_python(program, folder, mesh)
    said = run_python(talk, folder, mesh)
    assert said.startswith("user: use the calculator on 2+3\nassistant: ")


def test_a_human_answers(mesh: Mesh, folder: pathlib.Path) -> None:
    """By command line, REST and gRPC, then by the Python client: refused once, then taken."""
    shown = run_shell(of("locks.md", "sh"), folder, mesh)

    assert "refused: the lock is open still" in shown
    assert "# All about the sea" in shown
    assert '"prompt":"approval"' in shown
    assert '"status":"success"' in shown
    assert "LOCK_STATE_ANSWERED" in shown
    (program,) = of("locks.md", "python")
    assert "{'verdict': ['Say yes or no.']}\n# All about the wind\n" == run_python(program, folder, mesh)


def test_a_purchaser_pays(mesh: Mesh, folder: pathlib.Path) -> None:
    """With `agentmesh pay` and by hand; the result's hash reaches the ledger."""
    shown = run_shell(of("payments.md", "sh"), folder, mesh)

    assert "funds_locked" in shown
    assert "FundsLockingRequested (10 ADA)" in shown
    assert 2 == len(re.findall(r"\*Will it rain\?\* Most certainly\.", shown))
    (program,) = of("payments.md", "python")
    assert "result_submitted ((10000000, ''),)" == run_python(program, folder, mesh).splitlines()[-1]


def test_a_crew_works(mesh: Mesh, folder: pathlib.Path) -> None:
    """By REST: what came of it, the trace, and what is remembered; then as it happens."""
    shown = run_shell(of("kasal.md", "sh"), folder, mesh)

    assert '"status":"completed","progress":100' in shown
    assert '"action":"calculator","result":"42"' in shown
    assert '"short_term":[{' in shown
    (program,) = of("kasal.md", "python")
    kinds = [line.split()[0] for line in run_python(program, folder, mesh).splitlines()]
    assert ("authenticated", "subscribed", "execution_complete") == (kinds[0], kinds[1], kinds[-1])
    assert {"task_start", "task_complete", "progress"} <= set(kinds)


@pytest.mark.parametrize("page", DOCUMENTS)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link names a file."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"
