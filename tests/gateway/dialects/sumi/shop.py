"""The services that tests of Sumi look for."""

import json

from agentmesh_protos.runner.v1 import app_pb2

from meshkit.errors import Unavailable
from tests.gateway.stage import Stage, answer, at, job

ELEMENTS = [
    {"type": "markdown", "text": "# Text inputs"},
    {
        "type": "text",
        "name": "username",
        "label": "Username",
        "value": None,
        "required": True,
        "placeholder": "Enter your username (3-20 chars)",
        "size": 20,
        "pattern": None,
    },
    {"type": "submit", "text": "Submit"},
]
META_YAML = """
display: Text Input Types Demo
tags: [demo, forms]
author: {name: Ann, contact_email: ann@example.com}
agentPricing: [{pricingType: Fixed, fixedPricing: [{amount: 10000000, unit: lovelace}]}]
example_output: [{name: out, mime_type: text/plain, url: "https://example.com/out"}]
legal: {terms: "https://example.com/terms"}
image: https://example.com/i.png
"""


class TextInputs:
    """An app that refuses what the notebook's app refuses, and starts jobs."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __call__(self, request: app_pb2.CallAppRequest) -> app_pb2.CallAppResponse:
        if request.method == "GET":
            return answer({"summary": "Text", "elements": ELEMENTS})
        inputs = json.loads(request.body)
        needed = ("username", "password", "email")
        errors = {name: [f"{name.capitalize()} is required"] for name in needed if not inputs.get(name)}
        if errors:
            return answer({"errors": {**errors, "_global_": []}, "elements": ELEMENTS})
        made = job(self._stage.owner, "QUEUED", extra_json=request.extra_json, create_time=at(1765350253.658858))
        return answer({"result": self._stage.runner.add(made), "elements": ELEMENTS}, job=made.name[5:])


def offer(stage: Stage) -> None:
    """Offer what the tests look for."""
    stage.registry.flows.clear()
    stage.registry.exposes.clear()
    stage.runner.called.clear()
    given = {"summary": "Text Input Types Demo", "description": "Shows", "meta_yaml": META_YAML, "network": "Preprod"}
    stage.registry.add("form-example", "/text-inputs", tags=["demo", "forms"], author="Bo", **given)
    stage.registry.add("prime", "/", summary="Prime Gap Distribution")
    stage.registry.add("prime", "/async", summary="Prime Gap Distribution (async)")
    stage.registry.add("prime", "/deep/My  Run!", summary="Deep")
    stage.registry.add("dead", "/", summary="Dead", alive=False)
    stage.runner.apps["form-example"] = TextInputs(stage)


def failing(_: app_pb2.CallAppRequest) -> app_pb2.CallAppResponse:
    """An app that does not run."""
    raise Unavailable("no app serves prime")
