"""Which model answers, as the panel says it."""

import itertools

import pytest
from agentmesh_protos.registry.v1 import agent_pb2

from agentmesh.engine import models as engine
from agentmesh.engine import offline
from gateway.web.panel.models import PROVIDERS, why_offline

_PROVIDERS = ("", "offline", "Offline", "OpenAI ", "ollama", *PROVIDERS)


@pytest.mark.asyncio
async def test_the_panel_says_what_the_engine_does() -> None:
    """Of every provider, with and without a name, an endpoint and a key."""
    choices = itertools.product(_PROVIDERS, ("", "m"), ("", "https://models.example.com/v1"), ("", "key"))
    for provider, name, endpoint, key in choices:
        model = agent_pb2.Model(provider=provider, model=name, endpoint=endpoint)
        async with engine.opened(model, key, private=False) as opened:
            is_offline = type(opened) is type(offline.model("m", ""))

        assert is_offline == bool(why_offline(model, bool(key))), (provider, name, endpoint, key)


@pytest.mark.parametrize(
    ("model", "has_key", "why"),
    [
        (agent_pb2.Model(), False, "No model is named."),
        (agent_pb2.Model(provider="openai"), False, "No key for openai is kept."),
        (
            agent_pb2.Model(provider="ollama", model="m"),
            True,
            "Where ollama is reached is not known: it needs an endpoint.",
        ),
        (agent_pb2.Model(provider="groq"), True, "No model of groq is named."),
        (agent_pb2.Model(provider="openai"), True, ""),
    ],
)
def test_it_says_what_is_missing(model: agent_pb2.Model, has_key: bool, why: str) -> None:
    """One thing at a time."""
    assert why == why_offline(model, has_key)
