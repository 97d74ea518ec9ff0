"""Flows that return each sort of output of the panel API's documentation, and flows that fail."""

from typing import Any

import fastapi

from agentmesh import KodosumiError, Launch, ServeAPI, Tracer
from agentmesh import forms as F
from agentmesh.response import Image, Link, Text, Video

app = ServeAPI()
model = F.Model(F.InputText(label="Say", name="say", value="hello"), F.Submit("Submit"), F.Cancel("Cancel"))


def link() -> Link:
    """Return a Link."""
    return Link(url="https://example.com/result", title="Result Page")


def image() -> Image:
    """Return an Image."""
    return Image(url="https://example.com/output.png", alt="Generated image")


def video() -> Video:
    """Return a Video."""
    return Video(url="https://example.com/output.mp4")


def text() -> Text:
    """Return a Text."""
    return Text("Processing completed successfully.")


async def expected_error(inputs: dict[str, Any], tracer: Tracer) -> None:
    """Fail with a message for the user."""
    await tracer.debug("about to fail")
    raise KodosumiError("Error message here")


def long_error() -> None:
    """Fail with a message of two lines that looks like HTML."""
    raise KodosumiError("first line\n<b>second</b> line")


def bug() -> None:
    """Fail by accident, with a path of this machine in the message."""
    raise ValueError(f"cannot read {__file__}")


def nothing() -> None:
    """Return None."""


def _add(path: str, entry: str) -> None:
    @app.enter(path=path, model=model, summary=path.strip("/").title(), description=f"Runs {entry}.", tags=["Formats"])
    async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
        return Launch(request, f"tests.apps.formats:{entry}", inputs=inputs)


for name in ("link", "image", "video", "text", "expected_error", "long_error", "bug", "nothing"):
    _add(f"/{name.replace('_', '-')}", name)
