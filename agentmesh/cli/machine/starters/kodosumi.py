"""An app as kodosumi has it: the same code runs there and here."""

APP = '''\
"""An app as kodosumi has it.  It runs here as it is; neither kodosumi nor Ray need to be installed."""

import fastapi
from kodosumi.core import InputsError, Launch, ServeAPI
from kodosumi.core import forms as F
from ray import serve

app = ServeAPI()

hello_form = F.Model(
    F.Markdown("# Hello"),
    F.InputText(label="Name", name="name", placeholder="Ada"),
    F.Submit("Greet"),
    F.Cancel("Cancel"),
)


async def greet(inputs: dict, tracer) -> str:
    """Greet: this is the job."""
    await tracer.debug("about to greet")
    return f"Hello, {inputs['name']}!"


@app.enter(path="/", model=hello_form, summary="Hello", description="Greets.", version="0.1.0", tags=["Demo"])
async def enter(request: fastapi.Request, inputs: dict):
    """Check the name, and start the job."""
    if not inputs.get("name"):
        raise InputsError(name="Please say who you are.")
    return Launch(request, "app:greet", inputs=inputs)


@serve.deployment
@serve.ingress(app)
class Hello:
    """What Ray Serve would deploy."""


fast_app = Hello.bind()
'''

TEST = '''\
"""The job is a function: a test calls it."""

import asyncio

import agentmesh.compat

agentmesh.compat.install()  # `import kodosumi` finds the SDK, where kodosumi is not installed

from agentmesh import TracerMock  # noqa: E402

from app import greet  # noqa: E402


def test_it_greets() -> None:
    assert "Hello, Ada!" == asyncio.run(greet({"name": "Ada"}, TracerMock()))
'''
