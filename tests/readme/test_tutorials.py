"""What the tutorials show, and the pages for those who come from elsewhere, runs as it stands there."""

import itertools
import pathlib
import re
import sys
from collections.abc import Iterator

import pytest

from agentmesh.testing import Mesh
from gateway.dialects import DIALECTS
from services.runner.domain.states import ALLOWED, Reason
from tests.readme.snippets import ADDRESS, ROOT, lay_out, of, quick_mesh, run, run_python, run_shell, snippets

PAGES = (
    "coming-from/kodosumi.md",
    "coming-from/langgraph.md",
    "coming-from/notebooks.md",
    "how-to/debug.md",
    "tutorials/crew.md",
    "tutorials/lock.md",
    "tutorials/payment.md",
    "tutorials/progress.md",
)
ALL = {page: snippets(f"docs/{page}") for page in PAGES}
KERNEL = """
import ast, asyncio

async def kernel(cells):
    names = {}
    for cell in cells:
        code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        awaited = eval(code, names)
        if awaited is not None:
            await awaited

asyncio.run(kernel(%r))
"""
"""Runs cells as a notebook does: in one name space, on a loop that runs."""

pytestmark = pytest.mark.xdist_group("readme")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with the files that the pages show."""
    return lay_out(itertools.chain(*ALL.values()), tmp_path_factory.mktemp("tutorials"))


@pytest.fixture(scope="module")
def mesh(folder: pathlib.Path) -> Iterator[Mesh]:
    """Return a mesh, started in that folder, whose ledger is quick."""
    with quick_mesh(folder) as mesh:
        yield mesh


@pytest.mark.parametrize("page", PAGES)
def test_no_snippet_is_left_out(page: str) -> None:
    """Each is a file, a command or a program that a test here runs; `text` is for what a test cannot be in."""
    kinds = {"" if snippet.title else snippet.language for snippet in ALL[page]}

    assert kinds <= {"", "sh", "python", "text"}
    assert [snippet for snippet in ALL[page] if snippet.title]
    assert of(page, "sh")


def test_progress_is_watched_in_every_way(mesh: Mesh, folder: pathlib.Path) -> None:
    """By the command line, both streams of REST, gRPC, and the Python client."""
    shown = run_shell(of("tutorials/progress.md", "sh"), folder, mesh)

    assert "3 pages have **306 words**." in shown
    assert "stdout page 2 has 102 words" in shown
    assert "progress:  100 % page 5" in shown
    assert "event: progress" in shown
    assert '"state":"JOB_STATE_SUCCEEDED"' in shown
    assert re.search(r'"kind": "progress"', shown)
    (program,) = of("tutorials/progress.md", "python")
    assert "100.0 page 4 410" == run_python(program, folder, mesh).splitlines()[-1]


def test_a_human_is_asked_twice(mesh: Mesh, folder: pathlib.Path) -> None:
    """A refusal leaves the question open; a program answers, too; the flow is tested without a mesh."""
    shown = run_shell(of("tutorials/lock.md", "sh"), folder, mesh)

    assert "refused: say what to change" in shown
    assert "Dear Ada, thank you. See you in May." in shown
    (program,) = of("tutorials/lock.md", "python")
    said = run_python(program, folder, mesh).splitlines()
    assert ["{'remark': ['Say what to change.']}", "Dear Grace, thank you."] == said[1:]


def test_a_stranger_buys_a_run(mesh: Mesh, folder: pathlib.Path) -> None:
    """At the base URL, without a login; the hash of the result reaches the ledger."""
    shown = run_shell(of("tutorials/payment.md", "sh"), folder, mesh)

    assert "costs what its seller asks (Preprod)" in shown
    assert '"status":"available"' in shown
    assert '"status":"awaiting_payment"' in shown
    assert '"result":"*All good things, rain too, come to those who wait.*"' in shown
    (program,) = of("tutorials/payment.md", "python")
    said = run_python(program, folder, mesh).splitlines()
    assert "result_submitted ((10000000, ''),)" == said[-2]
    assert 64 == len(said[-1])


def test_a_crew_prepares_a_lesson(mesh: Mesh, folder: pathlib.Path) -> None:
    """Applied twice it is one crew; its tool is called; its trace is there."""
    shown = run_shell(of("tutorials/crew.md", "sh"), folder, mesh)

    assert "8760" in shown
    assert "patience" not in shown
    assert '"spans":[{' in shown
    (program,) = of("tutorials/crew.md", "python")
    said = run_python(program, folder, mesh)
    assert said.startswith("succeeded 100.0 True\n")
    assert "8760" in said


def test_an_app_of_kodosumi_runs_as_it_is(mesh: Mesh, folder: pathlib.Path) -> None:
    """With its imports, its handler, its ingress, and the panel's API."""
    shown = run_shell(of("coming-from/kodosumi.md", "sh"), folder, mesh)

    assert "**Berlin**: wet" in shown
    assert "event: final" in shown
    assert '"status":"finished"' in shown
    assert "**Rome**: dry" in shown


def test_a_graph_waits_for_a_human(mesh: Mesh, folder: pathlib.Path) -> None:
    """Its process ends meanwhile; the next attempt has what the steps returned."""
    shown = run_shell(of("coming-from/langgraph.md", "sh"), folder, mesh)

    assert "graph/ has app.py" in shown
    assert "All about it. Printed." in shown


def test_a_notebook_is_a_client(mesh: Mesh, folder: pathlib.Path) -> None:
    """Cell after cell, on a loop that runs."""
    run_shell(of("coming-from/notebooks.md", "sh"), folder, mesh)
    cells = [cell.text.replace(ADDRESS, mesh.url) for cell in of("coming-from/notebooks.md", "python")]

    said = run([sys.executable, "-c", KERNEL % cells], folder, mesh)

    assert "{'towns': ['must have at least 1 item']}" == said.splitlines()[0]
    assert "Best of ['Rome', 'Oslo']" in said
    assert "[{'town': 'Rome', 'votes': 0}, {'town': 'Oslo', 'votes': 1}]" in said
    assert said.splitlines()[-1].startswith("flows/")


def test_a_traceback_is_shown(mesh: Mesh, folder: pathlib.Path) -> None:
    """To an operator, of a job that has failed, with the line of the flow."""
    shown = run_shell(of("how-to/debug.md", "sh"), folder, mesh)

    assert "error:     ZeroDivisionError" in shown
    assert "return [1000 // half for half in found]" in shown


def test_the_tests_of_flows_pass(folder: pathlib.Path) -> None:
    """They need no mesh."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_letters.py", "test_halves.py"]

    assert "3 passed" in run(command, folder)


def test_the_life_of_a_job_is_the_codes() -> None:
    """Each state leads where the page says; each reason stands there; each dialect's word is the one it shows."""
    page = (ROOT / "docs/concepts.md").read_text(encoding="utf-8")
    life = {
        row[0]: set(re.findall(r"`(\w+)`", row[1]))
        for row in re.findall(r"^\| `(\w+)` \| [^|`]+ \| ([^|\n]+) \|$", page, re.M)
    }
    reasons = page.partition("A *reason* says")[2].partition("\n## ")[0]
    words = dict(re.findall(r"^\| `(\w+)` ((?:\| `\w+` ){5})\|$", page, re.M))
    shown = {dialect.name: dialect.states for dialect in DIALECTS}

    assert life == {state.value: {after.value for after in then} for state, then in ALLOWED.items()}
    assert set(re.findall(r"`(\w+)`", reasons)) == {reason.value for reason in Reason if reason}
    assert shown["sumi"] == shown["mip003"]
    assert {state: re.findall(r"`(\w+)`", row) for state, row in words.items()} == {
        state.value: [shown[name][state.name] for name in ("kodosumi", "sumi", "kasal", "codex", "koda")]
        for state in ALLOWED
    }
