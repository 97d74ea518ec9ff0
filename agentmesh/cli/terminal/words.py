"""The answers of models as they come, out of the `token` and `span` events of a job."""

import json
from typing import Any

from agentmesh.cli.terminal import output
from agentmesh.client import Event


class Words:
    """Prints the pieces of answers as text.  Of answers that come at the same time, one is printed after the other."""

    def __init__(self) -> None:
        self.last = ""
        """The answer that was printed last, as far as it came."""
        self._speaking = ""
        self._waiting: dict[str, str] = {}  # what was said meanwhile, by its span
        self._ended: set[str] = set()
        self._in_line = False

    def hear(self, event: Event) -> None:
        """Take an event; one that says nothing is passed over."""
        said = _object(event.payload)
        if event.kind == "token":
            self._token(str(said.get("span")), str(said.get("text") or ""), reset=bool(said.get("reset")))
        elif event.kind == "span" and said.get("status") != "running":
            self._end_span(str(said.get("id")))

    def end_line(self) -> None:
        """Go to the beginning of a line."""
        if self._in_line:
            output.piece("\n")
            self._in_line = False

    def end(self) -> None:
        """Print what waits still."""
        for span in list(self._waiting):
            self._begin(span)
        self.end_line()

    def _token(self, span: str, text: str, *, reset: bool) -> None:
        if span != self._speaking and self._speaking:
            self._waiting[span] = "" if reset else self._waiting.get(span, "") + text
            return
        if not self._speaking:
            self._begin(span)
        if reset:
            self.end_line()
            output.note("the model broke off and is asked again")
            self.last = ""
        self._say(text)

    def _begin(self, span: str) -> None:
        self.end_line()
        self._speaking, self.last = span, ""
        self._say(self._waiting.pop(span, ""))

    def _say(self, text: str) -> None:
        if text:
            output.piece(text)
            self.last += text
            self._in_line = not text.endswith("\n")

    def _end_span(self, span: str) -> None:
        if span != self._speaking:
            if span in self._waiting:
                self._ended.add(span)
            return
        self.end_line()
        self._speaking = ""
        for waiting in list(self._waiting):
            self._begin(waiting)
            if waiting not in self._ended:
                return
            self._ended.discard(waiting)
            self.end_line()
            self._speaking = ""


def _object(payload: str) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
