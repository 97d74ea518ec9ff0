"""Shows figures as a table, and keeps them as JSON."""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure

RESULTS = pathlib.Path(__file__).with_name("results")
_VERDICTS = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
_WIDTH = 160
"""Of a table that goes into a file."""


def show(figures: Sequence[Figure], title: str) -> None:
    """Print figures beside their targets."""
    table = Table(title=f"{title}, {os.cpu_count()} cores, Python {platform.python_version()}")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    table.add_column("how")
    for figure in figures:
        sign = ">=" if figure.at_least else "<="
        target = "" if figure.target is None else f"{sign} {number(figure.target)} {figure.unit}"
        verdict = "[red]failed[/]" if figure.failed else _VERDICTS[figure.met]
        table.add_row(figure.name, f"{number(figure.value)} {figure.unit}", target, verdict, figure.note)
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def number(value: float | None) -> str:
    """Return a number with the digits that a benchmark can stand for."""
    if value is None:
        return "-"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def write(figures: Sequence[Figure], path: pathlib.Path | None, more: Mapping[str, Any] | None = None) -> None:
    """Write figures to `path`, by default a new file among the results; `more` is written beside them."""
    now = datetime.datetime.now(datetime.UTC)
    path = path or RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "time": now.isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "figures": [{**dataclasses.asdict(figure), "met": figure.met} for figure in figures],
        **(more or {}),
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}", file=sys.stderr)
