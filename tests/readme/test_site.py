"""The site of the documentation: it builds without a warning, and its first page is what a newcomer types."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys

from tests.readme.snippets import ADDRESS, ROOT, run, snippets
from tests.terminal import DEADLINE_S, Terminal


def test_the_site_builds_without_a_warning(tmp_path: pathlib.Path) -> None:
    """Each page has its place, each link and each anchor is there."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert "Quickstart" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not [path for path in tmp_path.rglob("*.html") if "fonts.googleapis" in path.read_text(encoding="utf-8")]


def test_the_quickstart_runs(tmp_path: pathlib.Path) -> None:
    """What is typed, in that order; the file it shows is the file that it makes."""
    new, dev, job = (part.text for part in snippets("docs/index.md") if part.language == "sh")
    (shown,) = (part for part in snippets("docs/index.md") if part.title)

    run(["bash", "-c", new], tmp_path)
    made = (tmp_path / shown.title).read_text(encoding="utf-8")
    assert [line for line in shown.text.splitlines() if line not in made.splitlines()] == []
    with subprocess.Popen(
        [sys.executable, "-P", "-m", *shlex.split(dev), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            url = Terminal(process).until("the panel: ").split()[2].removesuffix("/panel/flows")
            assert url != ADDRESS
            told = run(["bash", "-c", f"export AGENTMESH_URL={url}\n{job}"], tmp_path)
            assert "word\tcount\nto\t2\nbe\t2\nor\t1" in told
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)
