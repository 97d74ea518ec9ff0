"""Flows that declare their inputs; one of them must be launched without asking the app."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pandas as pd
import pydantic
from fastapi import Request, Response
from PIL import Image as Pictures
from tqdm import tqdm

from agentmesh import ServeAPI, Tracer, forms

app = ServeAPI()


@app.middleware("http")
async def never_asked(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let forms be read; a launch of this one must not come here."""
    if request.method == "POST" and request.url.path == "/untouched":
        raise RuntimeError("the app was asked to launch")
    return await call_next(request)


class Order(pydantic.BaseModel):
    """What to say, and how often."""

    text: str = pydantic.Field(min_length=1, max_length=40)
    count: int = pydantic.Field(default=1, ge=1, le=5)
    loud: bool = False
    tone: Literal["warm", "cold"] = "warm"
    words: list[str] = []

    @pydantic.field_validator("text")
    @classmethod
    def not_forbidden(cls, text: str) -> str:
        """Refuse what no schema can say."""
        if text == "forbidden":
            raise ValueError("that word is not said")
        return text


@app.flow("/", summary="Order", description="Says it.", tags=["Test"])
@app.flow("/shared", summary="Shared order", isolation="shared")
@app.flow("/untouched", summary="Untouched order")
async def say(inputs: Order) -> dict[str, Any]:
    """Return what came in."""
    return inputs.model_dump()


FORM = forms.Model(forms.InputText("name", "Name", required=True), forms.InputNumber("age", "Age", max_value=150))


@app.flow("/form", model=FORM, summary="By form")
def by_form(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what came in."""
    return inputs


@app.flow("/busy", summary="Busy")
async def busy(tracer: Tracer) -> str:
    """Say how far it is in every way there is."""
    for number in range(1, 201):
        await tracer.progress(number, 200, "in words")
    await tracer.usage(input_tokens=100, output_tokens=10, cost_micros=5)
    await tracer.usage(input_tokens=1)
    for _ in tqdm(range(200), mininterval=0, miniters=1):
        await asyncio.sleep(0)
    os.write(1, b"".join(b"\rnative %d%%" % number for number in range(101)))
    return "done"


@app.flow("/shown", summary="Shown")
def shown(tracer: Tracer) -> list[Any]:
    """Return a frame and a picture."""
    return [pd.DataFrame({"n": range(1500)}), Pictures.new("RGB", (2, 2), "red")]


@app.flow("/forgot", summary="Forgot")
async def forgot(tracer: Tracer) -> str:  # type: ignore[return]  # as people forget it
    """Forget to return."""
    await tracer.debug("working")
