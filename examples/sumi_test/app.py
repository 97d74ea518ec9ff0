"""Masumi two-stage service: checks a date, waits for a human's greeting, says goodbye.

The first form is filled by whoever starts the job; the second one by whoever answers its lock, seconds or hours later.
Written against `kodosumi.core` and `ray.serve`, as existing apps are.
"""

import datetime
from typing import Any

import fastapi
import kodosumi.core as core
from kodosumi.core import ServeAPI
from kodosumi.core import forms as F
from kodosumi.response import Markdown
from ray import serve

LOCK = "greeting-lock"
ANSWER_WITHIN_S = 3 * 60 * 60

app = ServeAPI()


def tomorrow() -> str:
    """Return tomorrow's date as `YYYY-MM-DD`."""
    return (datetime.date.today() + datetime.timedelta(days=1)).isoformat()


class StartModel(F.Model):
    """The first form.  Its earliest date moves with the calendar, so it is set whenever the form is shown."""

    def get_model(self) -> list[dict[str, Any]]:
        """Return the elements."""
        return [
            {**element, "min_date": tomorrow()} if element.get("name") == "date" else element
            for element in super().get_model()
        ]


start_model = StartModel(
    F.Markdown(
        "# Masumi Two-Stage Service\nFirst give a name and a date in the future. Then a human says hello, and the "
        "service says goodbye."
    ),
    F.Break(),
    F.InputText(label="Name", name="name", placeholder="Enter your name"),
    F.InputDate(label="Date", name="date", required=True, min_date=tomorrow()),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)

greeting_model = F.Model(
    F.Markdown("# Say hello\nThe service waits for your greeting."),
    F.InputText(label="Your Greeting", name="greeting", required=True, placeholder="Say hello..."),
    F.Submit("Submit"),
    F.Cancel("Cancel"),
)


def check_date(text: str, today: datetime.date) -> str | None:
    """Return what is wrong with the date, or None."""
    if not text:
        return "Date is required"
    try:
        date = datetime.date.fromisoformat(text)
    except ValueError:
        return "Date must look like 2030-12-31"
    return None if date > today else "Date must be in the future"


@app.enter(
    path="/",
    model=start_model,
    summary="Masumi Two-Stage Service",
    description="Takes a name and a date in the future, then waits for a human's greeting and answers it.",
    version="0.1.0",
    author="author@example.com",
    organization="House of Communication",
    tags=["Test", "Masumi"],
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> core.Launch:
    """Check the date, then start the job."""
    date = str(inputs.get("date") or "").strip()
    if problem := check_date(date, datetime.date.today()):
        raise core.InputsError(date=problem)
    name = str(inputs.get("name") or "").strip()
    return core.Launch(request, "examples.sumi_test.app:run", inputs={"name": name, "date": date})


@app.lock(LOCK)
async def ask_greeting(data: dict[str, Any]) -> F.Model:
    """Return the form that a human fills while the job waits."""
    return greeting_model


@app.lease(LOCK)
async def take_greeting(inputs: dict[str, Any]) -> dict[str, str]:
    """Check the human's answer; what is returned goes to the waiting job."""
    greeting = str(inputs.get("greeting") or "").strip()
    if not greeting:
        raise core.InputsError(greeting="Please say something.")
    return {"greeting": greeting}


async def run(inputs: dict[str, Any], tracer: core.Tracer) -> Markdown:
    """Ask for a greeting and answer it."""
    name = inputs.get("name") or "stranger"
    await tracer.debug(f"{name} asks for {inputs['date']}")
    answer = await tracer.lock(LOCK, data={"name": name}, timeout=ANSWER_WITHIN_S)
    return Markdown(f"You say {answer['greeting']}, I say **goodbye**.")


@serve.deployment
@serve.ingress(app)
class TwoStageService:
    """What Ray Serve deploys."""


fast_app = TwoStageService.bind()  # type: ignore[attr-defined]  # what the decorators add
