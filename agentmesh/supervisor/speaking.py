"""What a line of a child's looks like in the mesh's log: an object of JSON for programs, a sentence for people.

Services write JSON (`meshkit.telemetry.observability`); whatever an app or a library prints is any text.
"""

import datetime
import json
from collections.abc import Callable
from typing import Any

Speaker = Callable[[str, bytes], bytes]
"""Makes of the name of a child and a line of it what is written; empty: nothing is."""

_NAME_WIDTH = 8
_KNOWN = ("process", "service", "timestamp", "level", "event", "exception", "request_id", "trace_id")
_MARKS = {"warning": "! ", "error": "✗ ", "critical": "✗ "}
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def as_object(name: str, line: bytes) -> dict[str, Any]:
    """Return a line as an object: `process` is the child, `event` what it says; the rest is its own."""
    said: Any = None
    if line.startswith(b"{"):
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
    if not isinstance(said, dict):
        now = datetime.datetime.now(datetime.UTC).isoformat()
        said = {"timestamp": now, "level": "info", "event": line.decode(errors="replace")}
    return {"process": name, **{key: value for key, value in said.items() if key != "process"}}


def json_line(name: str, line: bytes) -> bytes:
    """Return a line as an object of JSON."""
    return json.dumps(as_object(name, line), ensure_ascii=False).encode(errors="replace") + b"\n"


def text_line(name: str, line: bytes, *, colours: bool = False) -> bytes:
    """Return a line as people read it; nothing for one about a call, which is in the log for who looks for it."""
    return text_of(as_object(name, line), colours=colours).encode(errors="replace")


def text_of(said: dict[str, Any], *, colours: bool = False) -> str:
    """Return an object of the log as people read it, tracebacks below it; nothing for one about a call."""
    level, event = str(said.get("level", "info")), str(said.get("event", ""))
    if event == "rpc" and level == "info":
        return ""
    facts = " ".join(f"{key}={value}" for key, value in said.items() if key not in _KNOWN)
    text = clean(f"{_MARKS.get(level, '')}{event}{f'  {facts}' if facts else ''}")
    head = f"{_clock(said.get('timestamp'))} {said.get('process', ''):<{_NAME_WIDTH}} "
    below = "".join(f"    {each}\n" for each in clean(str(said.get("exception") or "")).splitlines())
    if not colours:
        return f"{head}{text}\n{below}"
    return f"{_DIM}{head}{_PLAIN}{_COLOURS.get(level, '')}{text}{_PLAIN}\n{_DIM}{below}{_PLAIN}"


def clean(text: str) -> str:
    """Return `text` without control characters: what an app prints must not move the cursor or rename the window."""
    return "".join(each for each in text if each in "\n\t" or (each >= " " and not "\x7f" <= each <= "\x9f"))


def _clock(stamp: object) -> str:
    """Return a time of UTC as clocks here show it."""
    try:
        time = datetime.datetime.fromisoformat(str(stamp))
    except ValueError:
        return " " * 8
    return time.replace(tzinfo=time.tzinfo or datetime.UTC).astimezone().strftime("%H:%M:%S")
