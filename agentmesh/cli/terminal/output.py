"""What commands print: colours and tables on a terminal, plain lines elsewhere, JSON if asked."""

import contextlib
import dataclasses
import datetime
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from agentmesh.client import Event, Job, Lock

# What a flow prints must not move the cursor or rename the window.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ASIDE_MAX = 120
_STYLES = {
    "status": "bold cyan",
    "final": "bold green",
    "result": "green",
    "action": "blue",
    "error": "bold red",
    "stderr": "yellow",
    "stdout": "dim",
    "debug": "dim",
    "lock": "bold magenta",
    "payment": "magenta",
    "inputs": "dim",
    "meta": "dim",
}
_STATES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "pending": "magenta"}

console = Console(highlight=False)


def style_of(state: str) -> str:
    """Return how a state is shown."""
    return _STATES.get(state, "")


def kind_style(kind: str) -> str:
    """Return how events of a kind are shown."""
    return _STYLES.get(kind, "")


def clean(text: str) -> str:
    """Return `text` without control characters, newlines and tabs excepted."""
    return _CONTROL.sub("", text)


def say(text: str, style: str = "") -> None:
    """Print a line."""
    if console.is_terminal:
        console.print(Text(clean(text), style=style))
    else:
        print(clean(text), flush=True)


def note(text: str) -> None:
    """Print a line for the person at the terminal, on stderr."""
    print(clean(text), file=sys.stderr)


def as_json(record: Any) -> None:
    """Print a record as one line of JSON."""
    print(json.dumps(dataclasses.asdict(record), ensure_ascii=False, default=_jsonable), flush=True)


def fields_of(item: Any) -> None:
    """Print a record as lines of its fields that say something."""
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        if value in (None, "", (), {}, False, 0):
            continue
        if isinstance(value, datetime.datetime):
            value = moment(value)
        elif isinstance(value, tuple):
            value = ", ".join(map(str, value))
        elif isinstance(value, Mapping):
            value = ", ".join(f"{key}={each}" for key, each in value.items())
        say(f"{field.name.replace('_', ' ')}: {str(value).lower() if value is True else value}")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: a table on a terminal, else tab-separated lines without a heading."""
    if not console.is_terminal:
        for row in rows:
            print("\t".join(clean(cell).replace("\t", " ").replace("\n", " ") for cell in row))
        return
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(clean(cell), style=_STATES.get(cell, "")) for cell in row))
    console.print(grid)


def event(item: Event, *, numbered: bool = True) -> None:
    """Print one line of a job's log; what has several lines is indented, and what few people read is cut.

    `numbered` is for logs of which every event is printed: else the numbers would jump.
    """
    text = "" if item.kind == "final" else clean(item.text)  # it comes again as the result
    if item.kind in ("meta", "agent", "payment") and len(text) > _ASIDE_MAX:
        text = f"{text[:_ASIDE_MAX]}…"
    first, *more = text.splitlines() or [""]
    if not console.is_terminal:
        number = f"{item.seq} " if numbered else ""
        print("\n".join([f"{number}{item.kind} {first}".rstrip(), *(f"    {line}" for line in more)]), flush=True)
        return
    line = Text()
    line.append(f"{item.seq:>5} " if numbered else "      ", style="dim")
    line.append(f"{item.kind:<8}", style=_STYLES.get(item.kind, ""))
    line.append("\n               ".join(["  " + first, *more]))
    console.print(line)


def piece(text: str) -> None:
    """Print a piece of a line at once."""
    print(clean(text), end="", flush=True)


def fields(elements: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the elements of a form that take a value; its buttons that have one are a choice, by their name."""
    found: dict[str, dict[str, Any]] = {}
    for element in elements:
        name, kind = str(element.get("name") or ""), element.get("type")
        if not name or kind in ("submit", "cancel", "errors"):
            continue
        if kind != "action":
            found[name] = dict(element)
            continue
        button = found.setdefault(name, {"name": name, "type": "select", "option": []})
        button.setdefault("option", []).append({"name": element.get("value"), "label": element.get("text")})
    return list(found.values())


def lock(item: Lock) -> None:
    """Say on stderr what a lock asks, until when, and how to answer."""
    until = f" until {moment(item.expire_time)}" if item.expire_time else ""
    note(f"the job waits for an answer to {item.title}{until}:")
    for element in item.elements:
        if element.get("type") in ("markdown", "none") and element.get("text"):
            note("\n".join(f"  {line}" for line in str(element["text"]).splitlines()))
    asked = fields(item.elements)
    for field in asked:
        label = field.get("label") or ""
        note(
            f"  --{field['name']} ({field.get('type')}{', required' if field.get('required') else ''}) {label}".rstrip()
        )
    note(" ".join(["  agentmesh answer", item.id, *(f"--{field['name']} …" for field in asked)]))


def outcome(job: Job) -> None:
    """Print what came of a job."""
    if job.state == "succeeded":
        if isinstance(job.result, dict) and "Markdown" in job.result and console.is_terminal:
            console.print(Markdown(clean(job.text)))
        else:
            say(job.text)
    else:
        note(f"{job.name} {job.state}{_reason(job)}{': ' if job.error else ''}{job.error}")


def _reason(job: Job) -> str:
    return f" ({job.reason.replace('_', ' ')})" if job.reason else ""


def job(item: Job, traceback: str = "") -> None:
    """Print a job as it is now."""
    began, ended = item.start_time, item.finish_time
    ran = (ended or datetime.datetime.now(datetime.UTC)) - began if began else None
    percent = "" if item.progress is None else f"{item.progress:g} %"
    rows = {
        "state": f"{item.state}{_reason(item)}",
        "target": item.target,
        "owner": item.owner,
        "created": moment(item.create_time),
        "started": moment(began),
        "finished": moment(ended),
        "runtime": "" if ran is None else f"{ran.total_seconds():.1f} s",
        "attempt": str(item.attempt) if item.attempt > 1 else "",
        "progress": f"{percent} {item.progress_text}".strip(),
        "labels": ", ".join(f"{key}={value}" for key, value in item.labels.items()),
        "inputs": json.dumps(item.inputs, ensure_ascii=False) if item.inputs else "",
        "error": item.error,
    }
    say(item.name, "bold")
    for title, text in rows.items():
        if text:
            say(f"{title + ':':<10} {text}", _STATES.get(item.state, "") if title == "state" else "")
    if traceback:
        say(traceback.rstrip(), "dim")
    if item.state == "succeeded":
        outcome(item)


def moment(time: datetime.datetime | None) -> str:
    """Return a time as people here read it, with the zone that is theirs."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if time is not None else ""


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


def busy(text: str) -> contextlib.AbstractContextManager[Any]:
    """Show on a terminal that something runs."""
    return console.status(Text(clean(text), style="dim")) if console.is_terminal else contextlib.nullcontext()
