"""`python -m benchmarks [--only WORD...] [--json FILE]`: measure, print a table, write JSON."""

import argparse
import asyncio
import dataclasses
import datetime
import json
import math
import os
import pathlib
import platform
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from agentmesh.client import MeshError
from agentmesh.testing import Mesh, running_mesh
from benchmarks import events, jobs, start, waiting
from benchmarks.figures import Figure
from benchmarks.http import Failed, Http

RESULTS = pathlib.Path(__file__).with_name("results")

On = Callable[[Mesh, str], list[Figure]]
# In this order: memory is measured before there is any load.
ON_A_MESH: dict[str, On] = {
    "memory": lambda mesh, _: start.memory(mesh),
    "launch": lambda mesh, key: asyncio.run(jobs.launch(mesh.url, key)),
    "finished": lambda mesh, key: asyncio.run(jobs.to_the_end(mesh.url, key)),
    "rate": lambda mesh, key: asyncio.run(jobs.rate(mesh.url, key, mesh)),
    "polling": lambda mesh, key: jobs.polling(mesh.url, key, asyncio.run(_finished_job(mesh.url, key))),
    "events": lambda mesh, key: asyncio.run(events.throughput(mesh.url, key)),
    "latency": lambda mesh, key: asyncio.run(events.latency(mesh.url, key)),
}


def main() -> int:
    """Return 0 if every figure meets its target, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=("start", *ON_A_MESH, "waiting"), help="only these")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures; default: benchmarks/results/")
    arguments = parser.parse_args()
    chosen = arguments.only or ["start", *ON_A_MESH, "waiting"]
    figures: list[Figure] = []
    if "start" in chosen:
        figures += _tried("start", start.measure)
    if set(chosen) & set(ON_A_MESH):
        with running_mesh(examples=True) as mesh:
            key = asyncio.run(_login(mesh.url))
            for name, measure in ON_A_MESH.items():
                if name in chosen:
                    figures += _tried(name, lambda measure=measure: measure(mesh, key))  # type: ignore[misc]
    if "waiting" in chosen:
        figures += _tried("waiting", lambda: waiting.measure(_login))
    _show(figures)
    _write(figures, arguments.json)
    return 0 if all(figure.met is not False for figure in figures) else 1


def _tried(name: str, measure: Callable[[], list[Figure]]) -> list[Figure]:
    print(f"measuring: {name}", file=sys.stderr, flush=True)
    try:
        return measure()
    except (Failed, MeshError, RuntimeError, OSError, TimeoutError) as error:  # the other figures are worth having
        return [Figure(name=name, value=float("inf"), unit="", target=0, note=f"could not be measured: {error}")]


async def _login(url: str) -> str:
    async with Http(url) as http:
        password = os.environ.get("AGENTMESH_ADMIN_PASSWORD", "admin")
        answer = await http.json("POST", "/api/login", {"name": "admin", "password": password})
    return str(answer["KODOSUMI_API_KEY"])


async def _finished_job(url: str, key: str) -> str:
    async with Http(url, key) as http:
        fid = str((await http.json("POST", jobs.LAUNCH, {}))["result"])
        await jobs.finished(http, fid)
    return fid


def _show(figures: list[Figure]) -> None:
    table = Table(title=f"agentmesh on {os.cpu_count()} cores, Python {platform.python_version()}")
    for column, justify in (
        ("figure", "left"),
        ("measured", "right"),
        ("target", "right"),
        ("", "left"),
        ("how", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        sign = ">=" if figure.at_least else "<="
        target = "" if figure.target is None else f"{sign} {figure.target:,g} {figure.unit}"
        verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.met]
        table.add_row(figure.name, f"{_number(figure.value)} {figure.unit}", target, verdict, figure.note)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _write(figures: list[Figure], path: pathlib.Path | None) -> None:
    now = datetime.datetime.now(datetime.UTC)
    path = path or RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "time": now.isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "figures": [_record(figure) for figure in figures],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"written to {path}", file=sys.stderr)


def _record(figure: Figure) -> dict[str, Any]:
    value = figure.value if math.isfinite(figure.value) else None
    return {**dataclasses.asdict(figure), "value": value, "met": figure.met}


if __name__ == "__main__":
    sys.exit(main())
