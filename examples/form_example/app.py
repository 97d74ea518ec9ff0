"""Form elements demo: six forms, the checks an author writes for them, and a flow that shows what it was given.

Written against `kodosumi.core` and `ray.serve`, as existing apps are.
"""

import datetime
import re
from collections.abc import Mapping
from typing import Any

import fastapi
import kodosumi.core as core
from kodosumi.core import ServeAPI
from kodosumi.response import Markdown
from ray import serve

from examples.form_example import models

MASK = "********"
SECRETS = ("password", "repeat")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

app = ServeAPI()

ABOUT = {"version": "0.1.0", "author": "author@example.com", "organization": "House of Communication"}


def text_of(inputs: Mapping[str, Any], name: str) -> str:
    """Return an input as text without blanks around it; empty if it was not given."""
    value = inputs.get(name)
    return "" if value is None else str(value).strip()


def number_of(inputs: Mapping[str, Any], name: str, low: float, high: float, errors: core.InputsError) -> float | None:
    """Return an input as a number, None if it was not given; tell `errors` if it is none or out of bounds."""
    text = text_of(inputs, name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        errors.add(**{name: f"{name.capitalize()} must be a number"})
        return None
    if not low <= value <= high:
        errors.add(**{name: f"{name.capitalize()} must be from {low:g} to {high:g}"})
    return value


def check_account(inputs: Mapping[str, Any], errors: core.InputsError) -> None:
    """Check what every account needs: a password and an address."""
    password, email = text_of(inputs, "password"), text_of(inputs, "email")
    if not password:
        errors.add(password="Password is required")
    elif not 8 <= len(password) <= 100:
        errors.add(password="Password must have 8 to 100 characters")
    if not email:
        errors.add(email="Email is required")
    elif not _EMAIL.fullmatch(email):
        errors.add(email="Email must look like user@example.com")


def launch(request: fastapi.Request, inputs: dict[str, Any], errors: core.InputsError) -> core.Launch:
    """Start the flow unless there are errors.  Passwords stay here: a job's inputs are kept in its log."""
    if errors.has_errors():
        raise errors
    shown = {name: MASK if name in SECRETS and value else value for name, value in inputs.items() if name != "_global_"}
    return core.Launch(request, "examples.form_example.app:run", inputs=shown)


async def run(inputs: dict[str, Any], tracer: core.Tracer) -> Markdown:
    """Return the inputs as a table."""
    await tracer.debug(f"{len(inputs)} inputs received")
    return Markdown(table(inputs))


def table(inputs: Mapping[str, Any]) -> str:
    """Return a Markdown table of names and values."""
    rows = [f"| {name} | {cell(value)} |" for name, value in inputs.items()]
    return "\n".join(["### Your inputs", "", "| Field | Value |", "|---|---|", *rows])


def cell(value: object) -> str:
    """Return a value as it may stand in a table cell."""
    if value is None or value == "":
        return "*not given*"
    text = ", ".join(sorted(map(str, value))) if isinstance(value, (list, set, tuple)) else str(value)
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", " ".join(text.split()))


@app.enter(
    path="/complete-form",
    model=models.complete_form,
    summary="Complete Registration Form",
    description="A registration form that uses most elements together.",
    tags=["Test", "Forms"],
    **ABOUT,
)
async def complete_form(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Check a registration."""
    errors = core.InputsError()
    if not text_of(inputs, "full_name"):
        errors.add(full_name="Full name is required")
    check_account(inputs, errors)
    if text_of(inputs, "password") != text_of(inputs, "repeat"):
        errors.add(repeat="Passwords must be the same")
    number_of(inputs, "experience", 0, 80, errors)
    if not inputs.get("terms"):
        errors.add(terms="Please agree to the terms")
    return launch(request, inputs, errors)


@app.enter(
    path="/text-inputs",
    model=models.text_inputs,
    summary="Text Input Types Demo",
    description="Shows the elements that take text.",
    tags=["Test", "Forms"],
    **ABOUT,
)
async def text_inputs(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Check an account."""
    errors = core.InputsError()
    username = text_of(inputs, "username")
    if not username:
        errors.add(username="Username is required")
    elif not 3 <= len(username) <= 20:
        errors.add(username="Username must have 3 to 20 characters")
    check_account(inputs, errors)
    return launch(request, inputs, errors)


@app.enter(
    path="/numeric-inputs",
    model=models.numeric_inputs,
    summary="Numeric Input Types Demo",
    description="Shows the elements that take numbers.",
    tags=["Test", "Forms"],
    **ABOUT,
)
async def numeric_inputs(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Check numbers."""
    errors = core.InputsError()
    if number_of(inputs, "age", 18, 120, errors) is None and not errors.has_errors():
        errors.add(age="Age is required")
    number_of(inputs, "price", 0, 10_000, errors)
    number_of(inputs, "volume", 0, 100, errors)
    number_of(inputs, "temperature", 0, 2, errors)
    return launch(request, inputs, errors)


@app.enter(
    path="/datetime-inputs",
    model=models.datetime_inputs,
    summary="Date/Time Input Types Demo",
    description="Shows the elements that take dates and times.",
    tags=["Test", "Forms"],
    **ABOUT,
)
async def datetime_inputs(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Check a date."""
    errors = core.InputsError()
    date = text_of(inputs, "date")
    if not date:
        errors.add(date="Date is required")
    else:
        try:
            datetime.date.fromisoformat(date)
        except ValueError:
            errors.add(date="Date must look like 2030-12-31")
    return launch(request, inputs, errors)


@app.enter(
    path="/selection-inputs",
    model=models.selection_inputs,
    summary="Selection Input Types Demo",
    description="Shows the elements that offer a choice.",
    tags=["Test", "Forms"],
    **ABOUT,
)
async def selection_inputs(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Check choices."""
    errors = core.InputsError()
    if text_of(inputs, "size") not in ("small", "medium", "large"):
        errors.add(size="Please choose a size")
    return launch(request, inputs, errors)


@app.enter(
    path="/special-inputs",
    model=models.special_inputs,
    summary="Special Input Types Demo",
    description="Shows colours, files, hidden values and things to read.",
    tags=["Test", "Forms"],
    **ABOUT,
)
async def special_inputs(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Check a colour."""
    errors = core.InputsError()
    color = text_of(inputs, "color")
    if color and not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        errors.add(color="Colour must look like #3366ff")
    return launch(request, inputs, errors)


@serve.deployment
@serve.ingress(app)
class FormElements:
    """What Ray Serve deploys."""


fast_app = FormElements.bind()  # type: ignore[attr-defined]  # what the decorators add
